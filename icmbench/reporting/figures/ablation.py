"""Ablation figure: change of every metric at equal rate, one ingredient left out at a time."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.axes import plain, signed
from icmbench.reporting.figures.label_maps import short_name
from icmbench.reporting.figures.panels import across, finish, grid
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.style import INK, MUTED, MetricInfo, theme

COLUMNS: Final = (
    "dataset", "without", "metric", "bpp", "change", "lo", "hi", "images", "left_out", "note",
)  # fmt: skip
_PANEL = (2.35, 0.34)  # inches: width of a panel, height of one row in it
_NAME = 24  # characters of an ingredient's name in a line
_TITLE = 30
_WORSE = "#ececee"
_DOT = "#0072B2"


def ablation_figure(
    table: pd.DataFrame, metrics: Sequence[MetricInfo], dataset: str, bpp: float
) -> Figure:
    """One panel per metric, one row per ingredient left out, of a data set at one rate.

    Args:
        table: `ablation_table`'s; rows in the order of the ingredients.
        metrics: order, titles, units and directions of the panels; others are not shown.
        bpp: one of the table's rates.

    Returns:
        The figure; a placeholder where no row has a value.

    Raises:
        MeasurementError: a column is missing, or two rows are of one ingredient and metric.
    """
    if missing := [name for name in COLUMNS if name not in table]:
        raise MeasurementError(f"an ablation table lacks the columns {', '.join(missing)}")
    rows = table[(table["dataset"] == dataset) & (table["bpp"] == bpp)]
    if rows.duplicated(["without", "metric"]).any():
        raise MeasurementError(f"ablation of {dataset!r}: an ingredient and metric occur twice")
    shown = [metric for metric in metrics if metric.name in set(rows["metric"])]
    rows = rows[rows["metric"].isin([metric.name for metric in shown])]
    title = f"One ingredient left out, at {plain(bpp)} bpp, {dataset}"
    if rows["change"].notna().sum() == 0:
        return placeholder(title, f"no image was compared at {plain(bpp)} bpp.")
    names = list(dict.fromkeys(rows["without"].astype(str)))
    labels = ["\n".join(textwrap.wrap(short_name(name, 2 * _NAME - 8), _NAME)) for name in names]
    beside = 0.067 * max(len(line) for label in labels for line in label.split("\n"))
    width = _PANEL[0] * (1.5 if len(shown) == 1 else 1)
    with theme():
        figure, panels = grid(len(shown), width, 1.0 + _PANEL[1] * len(labels), beside=beside)
        for number, (axes, metric) in enumerate(zip(panels, shown, strict=True)):
            _panel(axes, rows[rows["metric"] == metric.name], metric, names)
            first = number % across(len(shown)) == 0
            axes.set_yticks(range(len(names)), labels if first else [""] * len(names))
            if first:
                axes.annotate(
                    "without", (0, 1), (-4, 6), xycoords="axes fraction",
                    textcoords="offset points", ha="right", fontsize=7.5, color=MUTED,
                )  # fmt: skip
        finish(figure, title, _note(rows, shown))
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, metric: MetricInfo, names: list[str]) -> None:
    low, high = _limits(rows)
    worse = (low, 0.0) if metric.higher_is_better else (0.0, high)
    axes.axvspan(*worse, color=_WORSE, linewidth=0, zorder=0)
    axes.axvline(0.0, color=INK, linewidth=0.9, zorder=1)
    for _, row in rows.iterrows():
        _mark(axes, row, names.index(str(row["without"])))
    axes.set(xlim=(low, high), ylim=(len(names) - 0.5, -0.5))
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(signed))
    axes.set_title("\n".join(textwrap.wrap(metric.title, _TITLE)), loc="left", fontsize=8.5)
    change = f"change ({metric.unit})" if metric.unit else "change"
    axes.set_xlabel(f"{change}, better →" if metric.higher_is_better else f"← better, {change}")


def _limits(rows: pd.DataFrame) -> tuple[float, float]:
    """Ends of the axis: all dots and whiskers, 0, and something of either side of it."""
    ends = rows[["change", "lo", "hi"]].to_numpy(float)
    ends = ends[np.isfinite(ends)]
    low, high = min(0.0, *ends, 0.0), max(0.0, *ends, 0.0)
    pad = 0.14 * (high - low) or 1.0
    return low - pad, high + pad


def _mark(axes: Axes, row: pd.Series, y: int) -> None:
    change, low, high = (float(row[name]) for name in ("change", "lo", "hi"))
    if not math.isfinite(change):
        axes.text(
            0.0, y, "n/a", ha="center", va="center", fontsize=7, color=MUTED,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        )  # fmt: skip
        return
    certain = low > 0 or high < 0
    if math.isfinite(low):
        axes.plot([low, high], [y, y], color=_DOT, linewidth=1.5, solid_capstyle="butt", zorder=3)
    axes.plot(
        [change], [y], marker="o", markersize=5.5, markeredgewidth=1.2, markeredgecolor=_DOT,
        markerfacecolor=_DOT if certain else "white", linestyle="none", zorder=4,
    )  # fmt: skip


def _note(rows: pd.DataFrame, shown: Sequence[MetricInfo]) -> str:
    """Note: reading guide, number of images, and reasons of missing or weak numbers."""
    counted = rows[rows["change"].notna()]
    text = (
        "Dot: mean over images of the change against the full codec at this rate, interpolated "
        "between the operating points of each image. Grey side: worse without the ingredient."
    )
    if counted["lo"].notna().any():
        text += (
            " Line: 95\u00a0% bootstrap interval over images; the dot is hollow where it holds 0."
        )
    text += f" Images: {_range(counted['images'])}"
    if counted["left_out"].any():
        text += f"; left out, their curves not reaching this rate: {_range(counted['left_out'])}"
    titles = {metric.name: metric.title for metric in shown}
    return f"{text}.{_reasons(rows, titles)}"


def _range(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}"


def _reasons(rows: pd.DataFrame, titles: dict[str, str]) -> str:
    """` RDO (PSNR): why; ...`: the notes of the rows, each with those it belongs to."""
    found: dict[str, dict[str, list[str]]] = {}
    noted = rows[[isinstance(note, str) and note != "" for note in rows["note"]]]
    for note, name, metric in zip(noted["note"], noted["without"], noted["metric"], strict=True):
        found.setdefault(str(note), {}).setdefault(str(name), []).append(titles[metric])
    parts = []
    for note, owners in found.items():
        who = [
            name if len(at) == len(titles) else f"{name} ({', '.join(at)})"
            for name, at in owners.items()
        ]
        parts.append(f"{', '.join(who)}: {note}")
    return f" {'; '.join(parts)}." if parts else ""
