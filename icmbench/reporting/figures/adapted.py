"""The fine-tuned ceiling: a task model as it is and adapted to a codec, point by point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.axes import log_axis
from icmbench.reporting.figures.panels import finish, grid, label_panel
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.rate_panels import CEILING_DASH, PANEL
from icmbench.reporting.figures.style import INK, better_arrow, metric_label, theme
from icmbench.reporting.figures.task_curves import (
    TaskMetric,
    curve_metrics,
    has_values,
    lossy,
    shown_metrics,
    task_rows,
)

# Told apart in grey, too: by the lines and by filled and hollow markers.
AS_IS: Final[dict[str, Any]] = {"color": INK, "linestyle": "--", "marker": "o", "mfc": "white"}
ADAPTED: Final[dict[str, Any]] = {"color": "#0072B2", "linestyle": "-", "marker": "s"}
CONTROL: Final[dict[str, Any]] = {"color": "#999999", "linestyle": ":", "marker": "^"}
SHIFT: Final = 1.02  # of the rate, so that intervals of both do not cover each other


def adapted_curves(
    tasks: pd.DataFrame,
    dataset: str,
    task: str,
    *,
    against: str,
    control: str | None,
    codec: str,
    specs: Sequence[str],
) -> Figure:
    """Draw a panel per metric: scores at every point of the codec, with 95 % intervals.

    Dotted lines are the scores on the originals. Without coded points, or scores of one of the
    models, it is a placeholder.

    Args:
        tasks: the table `tasks`.
        task, against: the adapted model, and the same as it is.
        control: the same, fine-tuned on lossless scenes; None: there is none on the data set.
        codec: the codec entry that it is adapted to.
        specs: codec specs of the points that it was trained at; they are encircled.

    Raises MeasurementError as `task_rows`, and where neither has a metric to draw.
    """
    title = f"Fine-tuned ceiling: {task}, {dataset}"
    there = set(tasks.loc[tasks["dataset"] == dataset, "task"])
    looks = [(against, "as it is", AS_IS)]
    if control is not None and control in there:
        looks.append((control, "control: originals", CONTROL))
    looks.append((task, f"adapted to {codec}", ADAPTED))
    every = [task_rows(tasks, dataset, name) for name, _, _ in looks]
    metrics = shown_metrics(every[0], curve_metrics())
    drawn = [lossy(rows[rows["family"] == codec]) for rows in every]
    if any(rows.empty for rows in drawn):
        return placeholder(title, f"{codec} has no lossy point with results; see the failures.")
    if not all(map(has_values, every)):
        return placeholder(title, "one of the models has no result; see the failures.")
    if not metrics:
        raise MeasurementError(f"task {task!r} on {dataset!r} has no metric to draw")
    handles = [Line2D([], [], label=label, **style) for _, label, style in looks]
    styles = [style for _, _, style in looks]
    with theme():
        figure, panels = grid(len(metrics), *PANEL)
        for axes, metric in zip(panels, metrics, strict=True):
            _panel(axes, metric, list(zip(drawn, styles, strict=True)), set(specs))
        finish(figure, title, _note(drawn, specs), handles)
    return figure


def _panel(
    axes: Axes,
    metric: TaskMetric,
    drawn: Sequence[tuple[pd.DataFrame, dict[str, Any]]],
    marked: set[str],
) -> None:
    """Draw the models' rows, each in its style; the last one is the adapted model's."""
    label_panel(axes, metric.title, better_arrow(metric))
    axes.set_xlabel("rate (bits per pixel, log scale)")
    axes.set_ylabel(metric_label(metric))
    log_axis(axes, "x", pd.concat([rows["bpp"] for rows, _ in drawn]))
    for number, (rows, style) in enumerate(drawn):
        shift = SHIFT ** (number - (len(drawn) - 1) / 2)
        rate = rows["bpp"].to_numpy(float) * shift
        names = (f"{metric.name}{end}" for end in ("", "_lo", "_hi"))
        value, low, high = (rows[name].to_numpy(float) for name in names)
        axes.vlines(rate, low, high, color=style["color"], alpha=0.6, linewidth=1.0)
        axes.plot(rate, value, markersize=5, linewidth=1.4, zorder=4, **style)
        ceiling = float(rows[f"{metric.name}_ceiling"].iloc[0])
        if np.isfinite(ceiling):
            axes.axhline(ceiling, color=style["color"], linestyle=CEILING_DASH, linewidth=1.2)
        if number == len(drawn) - 1:
            chosen = rows["codec"].isin(marked).to_numpy()
            axes.plot(
                rate[chosen], value[chosen], linestyle="none", marker="o", markersize=11,
                markerfacecolor="none", markeredgecolor=style["color"], zorder=5,
            )  # fmt: skip


def _note(drawn: Sequence[pd.DataFrame], specs: Sequence[str]) -> str:
    models = "; ".join(rows["model"].iloc[0] for rows in drawn)
    return (
        f"Models: {models}. Encircled: the points whose "
        f"reconstructions of training scenes it was fine-tuned on ({', '.join(specs)}). Lines at "
        f"the points: 95\u00a0% bootstrap intervals over {int(drawn[-1]['images'].max())} images, "
        "none of which was trained on. Dotted: the same models on the originals."
    )
