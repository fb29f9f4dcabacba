"""Accuracy of a task on reconstructions against rate: one panel per metric."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.axes import log_axis
from icmbench.reporting.figures.lossless import lossless
from icmbench.reporting.figures.panels import family_handles, finish, grid, label_panel
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.rd_curves import (
    PANEL,
    draw_family,
    mark_outside,
    outside_words,
    value_limits,
)
from icmbench.reporting.figures.style import (
    INK,
    MUTED,
    FamilyStyle,
    MetricInfo,
    better_arrow,
    family_styles,
    metric_label,
    theme,
)
from icmbench.reporting.statistics.bootstrap import MIN_IMAGES

# Of a task's metrics those that are drawn as curves; missed and hallucinated objects have a figure
# of their own.
CURVES: Final = ("box_map50", "box_map", "mask_map", "miou", "macc", "nme", "failure_rate")
UNITS: Final[Mapping[str, str]] = {
    "nme": "share of the eye distance",
    "failure_rate": "share of faces",
    "missed": "share",
}
NEEDED: Final = (
    "dataset", "task", "model", "codec", "family", "metric", "value", "lo", "hi", "ceiling",
    "images", "failed", "bpp",
)  # fmt: skip
CEILING_DASH: Final = (0, (1.0, 1.6))
_ROOM = 0.09  # of an axis, for a label


@dataclass(frozen=True)
class TaskMetric:
    """A metric of a task, as figures need it; see `icmbench.reporting.figures.style.MetricInfo`."""

    name: str
    title: str
    unit: str
    higher_is_better: bool


@functools.cache
def task_metrics() -> dict[str, TaskMetric]:
    """Every metric of every evaluator, by name."""
    from icmbench.tasks.metrics.detection_metrics import DetectionEvaluator
    from icmbench.tasks.metrics.landmark_metrics import LandmarkEvaluator
    from icmbench.tasks.metrics.segmentation_metrics import SegmentationEvaluator

    return {
        name: TaskMetric(name, title, UNITS.get(name, ""), higher_is_better)
        for judge in (DetectionEvaluator, SegmentationEvaluator, LandmarkEvaluator)
        for name, (title, higher_is_better) in judge.metrics.items()
    }


def task_rows(tasks: pd.DataFrame, dataset: str, task: str) -> pd.DataFrame:
    """A row per codec string of a task on a data set, with the columns that curves need.

    Args:
        tasks: the table `tasks` (`tables.tasks.COLUMNS`), all data sets and tasks.

    Returns:
        `codec, family, bpp, images, failed, model`, and of every metric `<metric>`, `<metric>_lo`,
        `<metric>_hi`, `<metric>_ceiling`; sorted by family, rate and codec string.

    Raises:
        MeasurementError: the table lacks a column, or has no row of this task on this data set, or
            two of one codec string and metric.
    """
    if missing := [name for name in NEEDED if name not in tasks]:
        raise MeasurementError(f"a table of tasks lacks the columns {', '.join(missing)}")
    rows = tasks[(tasks["dataset"] == dataset) & (tasks["task"] == task)]
    if rows.empty:
        raise MeasurementError(f"the table has no row of task {task!r} on {dataset!r}")
    keys = ["codec", "family"]
    if rows.duplicated([*keys, "metric"]).any():
        raise MeasurementError(f"task {task!r} on {dataset!r}: a codec and metric occur twice")
    wide = rows.drop_duplicates(keys)[[*keys, "bpp", "images", "failed", "model"]]
    for metric, part in rows.groupby("metric", sort=False):
        values = part.set_index(keys)[["value", "lo", "hi", "ceiling"]]
        values.columns = [f"{metric}{end}" for end in ("", "_lo", "_hi", "_ceiling")]
        wide = wide.join(values, on=keys)
    return wide.sort_values(["family", "bpp", "codec"], kind="stable", ignore_index=True)


def shown_metrics(rows: pd.DataFrame, names: Sequence[str]) -> list[TaskMetric]:
    """Of these metrics those that the rows have a value of, or a ceiling, in the order given."""
    ends = ("", "_ceiling")

    def told(name: str) -> bool:
        return any(np.isfinite(rows[f"{name}{end}"].to_numpy(float)).any() for end in ends)

    return [task_metrics()[name] for name in names if name in rows and told(name)]


def lossy(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that a curve can show: everything with a rate but the lossless reference."""
    return rows[~lossless(rows) & (rows["bpp"] > 0)]


def task_curves(
    tasks: pd.DataFrame, dataset: str, task: str, names: Mapping[str, str] | None = None
) -> Figure:
    """Draw a panel per metric: what the model is worth against bits per pixel on a log axis.

    Lines, markers and intervals are those of `rd_curves`. A dotted line in every panel is the
    ceiling: the same model on the originals. Without any coded point a placeholder says so.

    Args:
        tasks: the table `tasks`; families of all its rows decide the styles.
        names: legend texts by family, where they differ from its name.

    Raises:
        MeasurementError: as `task_rows`, and where the task has none of the metrics `CURVES`.
    """
    rows = task_rows(tasks, dataset, task)
    metrics = shown_metrics(rows, CURVES)
    title = f"Accuracy against rate: {task}, {dataset}"
    coded = lossy(rows)
    if coded.empty:
        return placeholder(title, "no lossy codec has a point; see the failures.")
    if not metrics:
        raise MeasurementError(f"task {task!r} on {dataset!r} has none of {', '.join(CURVES)}")
    styles = family_styles(tasks["family"])
    shown = {name: styles[name] for name in sorted(set(coded["family"]))}
    with theme():
        figure, panels = grid(len(metrics), *PANEL)
        outside = sum(
            _panel(axes, coded, metric, float(rows[f"{metric.name}_ceiling"].iloc[0]), styles)
            for axes, metric in zip(panels, metrics, strict=True)
        )
        note = _note(rows) + outside_words(outside)
        finish(figure, title, note, family_handles(shown, names))
    return figure


def _panel(
    axes: Axes,
    rows: pd.DataFrame,
    metric: MetricInfo,
    ceiling: float,
    styles: dict[str, FamilyStyle],
) -> int:
    """Draw one metric; returns how many points lie outside the axis."""
    name = metric.name
    label_panel(axes, metric.title, better_arrow(metric))
    axes.set_xlabel("rate (bits per pixel, log scale)")
    axes.set_ylabel(metric_label(metric))
    log_axis(axes, "x", rows["bpp"])
    finite = rows[np.isfinite(rows[name].to_numpy(float))]
    values = finite[name].to_numpy(float)
    for family, part in finite.groupby("family", sort=True):
        draw_family(axes, part, metric, styles[str(family)], str(family))
    if finite.empty:
        axes.text(0.5, 0.5, "no finite values", transform=axes.transAxes, ha="center", color=MUTED)
        axes.set_ylim(ceiling - 0.1, ceiling + 0.1)
    else:
        ends = (finite[f"{name}_lo"].to_numpy(float), finite[f"{name}_hi"].to_numpy(float))
        axes.set_ylim(*_limits(value_limits(values, *ends), ceiling, metric.higher_is_better))
    if np.isfinite(ceiling):
        draw_ceiling(axes, ceiling, metric.higher_is_better)
    colours = [styles[family].colour for family in finite["family"]]
    return mark_outside(axes, finite["bpp"].to_numpy(float), values, colours)


def _limits(limits: tuple[float, float], ceiling: float, higher: bool) -> tuple[float, float]:
    """Limits that show the ceiling too, with room for its label on the side where it is good.

    No metric is negative: below 0 there is no more than such room.
    """
    low, high = limits
    if np.isfinite(ceiling):
        low, high = min(low, ceiling), max(high, ceiling)
        room = _ROOM * (high - low)
        low, high = (low, max(high, ceiling + room)) if higher else (min(low, ceiling - room), high)
    return max(low, -_ROOM * high), high


def draw_ceiling(axes: Axes, ceiling: float, higher_is_better: bool) -> None:
    """A labelled dotted line at the value on the originals."""
    axes.axhline(
        ceiling, color=INK, linestyle=CEILING_DASH, linewidth=1.2, zorder=2.5, label="originals"
    )
    axes.annotate(
        f"originals {ceiling:.3f}", (0, ceiling), (3, 2 if higher_is_better else -2),
        xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=7,
        va="bottom" if higher_is_better else "top", zorder=7,
        path_effects=[withStroke(linewidth=1.8, foreground="white")],
    )  # fmt: skip


def _note(rows: pd.DataFrame) -> str:
    """Note: meaning of points and of the ceiling, failures, and references left out."""
    images = int(rows["images"].max())
    band = "shaded or thin lines: 95\u00a0% bootstrap interval"
    if images < MIN_IMAGES:
        band = f"no intervals below {MIN_IMAGES} images"
    text = (
        f"Model: {rows['model'].iloc[0]}. A metric is computed over {images} "
        f"image{'' if images == 1 else 's'} together; {band}. Dotted line, the ceiling: the same "
        "model on the originals, never coded. Hollow: coded at reduced scale. Small and faint: not "
        "Pareto-optimal."
    )
    if failed := int(rows["failed"].sum()):
        text += f" {failed} coding{'s' if failed > 1 else ''} failed, see the failures."
    if names := ", ".join(sorted(set(rows.loc[lossless(rows), "family"]))):
        text += f" The lossless reference ({names}) is not drawn: it is the ceiling."
    return text
