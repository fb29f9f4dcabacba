"""Every metric against the weight of the contrastive features in the palette (MPD)."""

from __future__ import annotations

import textwrap
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.axes import plain
from icmbench.reporting.figures.label_maps import short_name
from icmbench.reporting.figures.panels import finish, grid, mark_reference
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.style import theme

COLUMNS: Final = ("alpha", "metric", "value", "lo", "hi", "better")
_PANEL = (3.2, 2.9)
_NAME = 32  # characters of a metric's title in a line
_LINE, _BAND = "#0072B2", "#b9d4e6"
_ARROWS = {"higher": "higher is better ↑", "lower": "lower is better ↓"}


def sweep_figure(
    rows: pd.DataFrame,
    chosen: float | None = None,
    *,
    title: str = "Weight of the contrastive features",
    interval: str = "95 % bootstrap interval over images",
) -> Figure:
    """One panel per metric, in the order of their first rows; the tried weights evenly spaced.

    Args:
        rows: `alpha` (weight, 0: features not used), `metric` (title, with its unit if it has
            one), `value`, the interval `lo` ... `hi` (nan: none), and `better` ("higher" or
            "lower"), one row per weight and metric.
        chosen: the weight in use, one of the tried ones.
        interval: what `lo` ... `hi` is; the note says it.

    Returns:
        The figure; a placeholder where there is no row.

    Raises:
        MeasurementError: a column is missing, a row stands twice, or a value is not what it says.
    """
    _check(rows, chosen)
    if rows.empty:
        return placeholder(title, "no weight was tried.")
    metrics = list(dict.fromkeys(rows["metric"].astype(str)))
    alphas = sorted(set(rows["alpha"].astype(float)))
    # One panel alone is wider, for the words above and below it.
    panel = _PANEL if len(metrics) > 1 else (1.4 * _PANEL[0], _PANEL[1])
    with theme():
        figure, panels = grid(len(metrics), *panel)
        for axes, metric in zip(panels, metrics, strict=True):
            part = rows[rows["metric"].astype(str) == metric].sort_values("alpha")
            _curve(axes, part, alphas, chosen)
            _frame(axes, metric, str(part["better"].iloc[0]), alphas)
        finish(figure, title, _note(rows, chosen, interval))
    return figure


def _check(rows: pd.DataFrame, chosen: float | None) -> None:
    missing = [name for name in COLUMNS if name not in rows]
    if missing:
        raise MeasurementError(f"a table of weights lacks the columns {missing}")
    if rows.duplicated(["alpha", "metric"]).any():
        raise MeasurementError("a weight has two values of one metric")
    if not set(rows["better"]) <= set(_ARROWS):
        raise MeasurementError(f"better is one of {sorted(_ARROWS)}, not {set(rows['better'])}")
    if (rows.groupby("metric")["better"].nunique() > 1).any():
        raise MeasurementError("a metric is better both higher and lower")
    numbers = rows[["alpha", "value"]].to_numpy(float)
    if not np.isfinite(numbers).all() or (numbers[:, 0] < 0).any():
        raise MeasurementError("a weight is negative, or a weight or a value is not finite")
    value, low, high = (rows[name].to_numpy(float) for name in ("value", "lo", "hi"))
    if ((low > value) | (value > high)).any() or (np.isnan(low) != np.isnan(high)).any():
        raise MeasurementError("a value lies outside its interval, or an interval has one end")
    if chosen is not None and len(rows) and chosen not in set(rows["alpha"].astype(float)):
        raise MeasurementError(f"the chosen weight {chosen} was not tried")


def _note(rows: pd.DataFrame, chosen: float | None, interval: str) -> str:
    text = "The tried weights stand evenly spaced. "
    if (rows["alpha"] == 0).any():
        text += "At 0 the palette knows the latent alone. "
    if rows["lo"].notna().any():
        text += f"Band: {interval}. "
    if chosen is not None:
        text += f"Dotted, ringed: the weight in use, {plain(chosen)}."
    return text


def _curve(axes: Axes, part: pd.DataFrame, alphas: list[float], chosen: float | None) -> None:
    places = np.array([alphas.index(alpha) for alpha in part["alpha"].astype(float)], float)
    value, low, high = (part[name].to_numpy(float) for name in ("value", "lo", "hi"))
    if np.isfinite(low).any():
        axes.fill_between(places, low, high, color=_BAND, linewidth=0)
    axes.plot(places, value, color=_LINE, linewidth=1.6, marker="o", markersize=4.4)
    if chosen is None:
        return
    at = alphas.index(chosen)
    for here in value[places == at]:
        mark_reference(axes, at, here)


def _frame(axes: Axes, metric: str, better: str, alphas: list[float]) -> None:
    name = short_name(metric, 2 * _NAME - 8)  # its end stays, where the unit is
    axes.set_title("\n".join(textwrap.wrap(name, _NAME)), loc="left", fontsize=8.5)
    axes.set_ylabel(_ARROWS[better])
    # Of many weights every second, third ... is named, so that the numbers stay apart.
    every = -(-len(alphas) // 9)
    axes.set_xticks(range(len(alphas)), minor=True)
    axes.set_xticks(range(0, len(alphas), every), [plain(alpha) for alpha in alphas[::every]])
    axes.set_xlim(-0.35, len(alphas) - 0.65)
    axes.set_xlabel("feature weight \u03b1 (no unit)")
    axes.margins(y=0.12)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(plain))
