"""Accuracy of a task on reconstructions against rate: one panel per metric."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.lossless import lossless
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.published_curves import looks_of, published_of
from icmbench.reporting.figures.rate_panels import rate_figure
from icmbench.reporting.figures.style import family_styles
from icmbench.reporting.statistics.bootstrap import MIN_IMAGES
from icmbench.tasks.known_answers import known_answers

NEEDED: Final = (
    "dataset", "task", "model", "codec", "family", "metric", "value", "lo", "hi", "ceiling",
    "images", "failed", "bpp",
)  # fmt: skip


@dataclass(frozen=True)
class TaskMetric:
    """A metric of a task for figures; see `icmbench.reporting.figures.style.MetricInfo`."""

    name: str
    title: str
    unit: str
    higher_is_better: bool


@functools.cache
def task_metrics() -> dict[str, TaskMetric]:
    """Every metric of every kind of answers, by name."""
    return {
        name: TaskMetric(name, score.title, score.unit, score.higher_is_better)
        for answer in known_answers().values()
        for name, score in answer.metrics.items()
    }


@functools.cache
def curve_metrics() -> tuple[str, ...]:
    """Names of the metrics that are drawn as curves, kind by kind, in the order of panels."""
    answers = known_answers().values()
    return tuple(name for answer in answers for name in answer.curves or answer.metrics)


def rows_of(
    table: pd.DataFrame, dataset: str, task: str, needed: Sequence[str], *, what: str, key: str
) -> pd.DataFrame:
    """The rows of a task on a data set.

    Raises MeasurementError: the table (of `what`) lacks a column, or has no row of this task on
    this data set, or two of one codec spec and `key`.
    """
    if missing := [name for name in needed if name not in table]:
        raise MeasurementError(f"a table of {what} lacks the columns {', '.join(missing)}")
    rows = table[(table["dataset"] == dataset) & (table["task"] == task)]
    if rows.empty:
        raise MeasurementError(f"the table has no row of task {task!r} on {dataset!r}")
    if rows.duplicated(["codec", "family", key]).any():
        raise MeasurementError(f"task {task!r} on {dataset!r}: a codec and {key} occur twice")
    return rows


def task_rows(tasks: pd.DataFrame, dataset: str, task: str) -> pd.DataFrame:
    """A row per codec spec of a task on a data set, with the columns that curves need.

    Args:
        tasks: the table `tasks` (`tables.tasks.COLUMNS`), all data sets and tasks.

    Returns:
        `codec, family, bpp, images, failed, model`, and of every metric `<metric>`, `<metric>_lo`,
        `<metric>_hi`, `<metric>_ceiling`; sorted by family, rate and codec spec.

    Raises MeasurementError as `rows_of`.
    """
    rows = rows_of(tasks, dataset, task, NEEDED, what="tasks", key="metric")
    keys = ["codec", "family"]
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


def has_values(rows: pd.DataFrame) -> bool:
    """True if a metric of `task_rows` has a value or a ceiling: not all of the task failed."""
    ceilings = [name for name in map(str, rows) if name.endswith("_ceiling")]
    columns = [*ceilings, *(name.removesuffix("_ceiling") for name in ceilings)]
    return bool(np.isfinite(rows[columns].to_numpy(float)).any())


def lossy(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that a curve can show: everything with a rate but the lossless reference."""
    return rows[~lossless(rows) & (rows["bpp"] > 0)]


def task_curves(
    tasks: pd.DataFrame,
    dataset: str,
    task: str,
    names: Mapping[str, str] | None = None,
    published: pd.DataFrame | None = None,
) -> Figure:
    """Draw a panel per metric: score of the model against bits per pixel on a log axis.

    Lines, markers and intervals are those of `rd_curves`. A dotted line in every panel is the
    ceiling: the score on the originals. Without coded points, or any score, the figure is a
    placeholder.

    Args:
        tasks: the table `tasks`; its codec entries decide the styles.
        names: codec entry -> legend text, where it differs from the name.
        published: the table `published`, which is drawn hollow and dashed.

    Raises:
        MeasurementError: as `task_rows`, and where the task has no metric of `curve_metrics`.
    """
    rows = task_rows(tasks, dataset, task)
    metrics = shown_metrics(rows, curve_metrics())
    title = f"Accuracy against rate: {task}, {dataset}"
    coded = lossy(rows)
    if coded.empty:
        return placeholder(title, "no lossy codec has a point; see the failures.")
    if not has_values(rows):
        return placeholder(title, "the task has no result; see the failures.")
    if not metrics:
        raise MeasurementError(
            f"task {task!r} on {dataset!r} has none of {', '.join(curve_metrics())}"
        )
    ceilings = {m.name: float(rows[f"{m.name}_ceiling"].iloc[0]) for m in metrics}
    styles, note = family_styles(tasks["family"]), task_note(rows)
    return rate_figure(
        coded, metrics, styles, title=title, note=note, names=names, ceilings=ceilings,
        published=published_of(published, dataset, task), looks=looks_of(published),
    )  # fmt: skip


def task_note(rows: pd.DataFrame) -> str:
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
