"""Paired differences at equal rate: one panel per metric, dots with intervals at every rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.axes import plain, signed
from icmbench.reporting.figures.panels import family_handles, finish, grid, label_panel
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.style import (
    INK,
    FamilyStyle,
    MetricInfo,
    better_arrow,
    family_styles,
    theme,
)
from icmbench.reporting.figures.task_curves import curve_metrics, task_metrics

NEEDED: Final = (
    "dataset", "task", "metric", "bpp", "family", "against", "difference", "lo", "hi", "images",
)  # fmt: skip
_PANEL: Final = (3.05, 2.35)
_SPREAD: Final = 0.72  # of the distance between two rates, taken by the dots of one
_REACH: Final = 6.0  # times the middle half of the dots: what lies further is an arrow


def paired_figure(
    table: pd.DataFrame, metrics: Sequence[MetricInfo], dataset: str, anchors: Sequence[str]
) -> Figure:
    """Draw the differences to one anchor, of every codec entry at every rate, on a data set.

    The anchor is the one of `anchors` with most differences (of equal ones the first). Differences
    without an interval, such as those on one image, stand in the table alone.

    Args:
        table: `tables.paired.COLUMNS`; its codec entries decide the styles.
        metrics: image metrics in the order of their panels; those of tasks follow.

    Raises:
        MeasurementError: the table lacks a column.
    """
    if missing := [name for name in NEEDED if name not in table]:
        raise MeasurementError(f"a table of differences lacks the columns {', '.join(missing)}")
    rows = table[(table["dataset"] == dataset) & table["difference"].notna() & table["lo"].notna()]
    counts = {name: int((rows["against"] == name).sum()) for name in anchors}
    title = f"Differences at equal rate, {dataset}"
    if not any(counts.values()):
        return placeholder(title, "no two codecs reach a configured rate together.")
    against = max(anchors, key=lambda name: counts[name])
    rows = rows[rows["against"] == against]
    panels_of = _panels(rows, metrics)
    if not panels_of:
        return placeholder(title, f"no metric has a difference to {against}.")
    styles = family_styles(table["family"])
    shown = {name: styles[name] for name in sorted(set(rows["family"]))}
    rates = sorted(set(rows["bpp"]))
    with theme():
        figure, panels = grid(len(panels_of), *_PANEL)
        for axes, (task, metric) in zip(panels, panels_of, strict=True):
            part = rows[(rows["task"] == task) & (rows["metric"] == metric.name)]
            _panel(axes, part, metric, task, rates, shown)
        finish(figure, f"{title}, against {against}", _note(rows, against), family_handles(shown))
    return figure


def _panels(rows: pd.DataFrame, metrics: Sequence[MetricInfo]) -> list[tuple[str, MetricInfo]]:
    held = set(zip(rows["task"], rows["metric"], strict=True))
    found: list[tuple[str, MetricInfo]] = [("", m) for m in metrics if ("", m.name) in held]
    known = task_metrics()
    for task in sorted({task for task, _ in held if task}):
        found += [(task, known[name]) for name in curve_metrics() if (task, name) in held]
    return found


def _panel(
    axes: Axes,
    rows: pd.DataFrame,
    metric: MetricInfo,
    task: str,
    rates: Sequence[float],
    styles: Mapping[str, FamilyStyle],
) -> None:
    title = f"{metric.title}, {task}" if task else metric.title
    label_panel(axes, title, ", ".join(filter(None, (metric.unit, better_arrow(metric)))))
    axes.axhline(0.0, color=INK, linewidth=0.9, zorder=1)
    low, high = _limits(rows)
    names = list(styles)
    step = _SPREAD / max(1, len(names))
    for _, row in rows.iterrows():
        place = names.index(row["family"]) - (len(names) - 1) / 2
        x = rates.index(row["bpp"]) + step * place
        style = styles[row["family"]]
        value = float(row["difference"])
        certain = row["lo"] > 0 or row["hi"] < 0
        if not low <= value <= high:
            edge, arrow = (
                (low, "\N{DOWNWARDS ARROW}") if value < low else (high, "\N{UPWARDS ARROW}")
            )
            axes.text(
                x, edge, arrow, color=style.colour, fontweight="bold", ha="center", zorder=4,
                va="bottom" if value < low else "top",
            )  # fmt: skip
            continue
        axes.plot([x, x], [row["lo"], row["hi"]], color=style.colour, linewidth=1.2, zorder=3)
        axes.plot(
            [x], [value], linestyle="none", zorder=4, markersize=4.6, marker=style.marker,
            color=style.colour, markerfacecolor=style.colour if certain else "white",
        )  # fmt: skip
    for edge in range(1, len(rates)):
        axes.axvline(edge - 0.5, color="#e3e5e8", linewidth=0.6, zorder=0)
    axes.set(xlim=(-0.5, len(rates) - 0.5), ylim=(low, high))
    axes.grid(False, axis="x")
    axes.set_xticks(range(len(rates)), [plain(rate) for rate in rates])
    axes.yaxis.set_major_formatter(FuncFormatter(signed))
    axes.set_xlabel("rate (bits per pixel)")


def _limits(rows: pd.DataFrame) -> tuple[float, float]:
    """Ends of the axis: zero and all dots with their intervals, but for those far from most."""
    ends = rows[["difference", "lo", "hi"]].to_numpy(float)
    values = ends[:, 0]
    quarter, half, upper = np.percentile(values, [25, 50, 75])
    width = float(np.median(ends[:, 2] - ends[:, 1]))
    reach = _REACH * max(upper - quarter, abs(half) / 2, width)
    near = ends[abs(values - half) <= reach]
    held = [0.0, *near[np.isfinite(near)]]
    low, high = max(min(held), half - 2 * reach), min(max(held), half + 2 * reach)
    low, high = min(low, 0.0), max(high, 0.0)
    pad = 0.08 * (high - low) or 1.0
    return low - pad, high + pad


def _note(rows: pd.DataFrame, against: str) -> str:
    counts = sorted({int(count) for count in rows["images"]})
    images = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return (
        f"Every codec minus {against} at the same rate, on the same images ({images}): curves "
        "are interpolated over the logarithm of the rate, image by image (metrics of tasks: over "
        "all images together), and never extrapolated: images on which one of both does not "
        "reach the rate are left out and counted in the table. Line: 95\u00a0% paired bootstrap "
        "interval over images; the dot is hollow where it holds 0. Without an interval (on one "
        "image, say) there is no dot. Arrow: a dot beyond the axis."
    )
