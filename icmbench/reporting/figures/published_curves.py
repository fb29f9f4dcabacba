"""Published curves in panels of a metric against rate: dashed, with hollow markers."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from icmbench.reporting.figures.style import Dash, FamilyStyle
from icmbench.reporting.published.points import ESTIMATED, REAL, deviation

DAGGER: Final = "\u2020"
# Markers of which our curves have few; lengths of dashes tell curves apart on a grey print, too.
_MARKERS: Final = ("8", "p", "H", "d", "<", ">", "s", "^", "v")
_COLOURS: Final = ("#4a4a4a", "#7b3294", "#a6611a", "#01665e", "#c2185b", "#35478c", "#6b6b00")
_DASHES: Final[tuple[Dash, ...]] = (
    (0, (5, 2)),
    (0, (2.5, 1.2)),
    (0, (8, 2.5)),
    (0, (5, 1.5, 2, 1.5)),
)
WIDTH: Final = 1.0


def published_styles(codecs: Iterable[str]) -> dict[str, FamilyStyle]:
    """A style per published codec, sorted by name."""
    names = sorted(set(codecs))
    looks = zip(
        itertools.cycle(_COLOURS), itertools.cycle(_MARKERS), itertools.cycle(_DASHES), strict=True
    )
    return {
        name: FamilyStyle(colour, marker, dash, WIDTH)
        for name, (colour, marker, dash) in zip(names, looks, strict=False)
    }


def published_of(
    published: pd.DataFrame | None, dataset: str, task: str = ""
) -> pd.DataFrame | None:
    """The published points of a data set's images, or of a task on it; None without a table."""
    if published is None:
        return None
    return published[(published["dataset"] == dataset) & (published["task"] == task)]


def looks_of(published: pd.DataFrame | None) -> dict[str, FamilyStyle]:
    """Styles of the codecs of a whole table, so that all figures of a run agree."""
    return {} if published is None else published_styles(published["codec"])


def hollow(style: FamilyStyle) -> dict[str, Any]:
    """Arguments of matplotlib for hollow markers of a style."""
    return {
        "marker": style.marker, "markersize": 5.4, "markerfacecolor": "none",
        "markeredgecolor": style.colour, "markeredgewidth": 0.8,
    }  # fmt: skip


def draw_published(
    axes: Axes, rows: pd.DataFrame, metric: str, styles: Mapping[str, FamilyStyle]
) -> None:
    """Draw the published curves of a metric; what lies beyond the axes is cut off.

    Args:
        rows: columns `codec, metric, bpp, value`.
    """
    for codec, points in rows[rows["metric"] == metric].groupby("codec", sort=True):
        ordered = points.sort_values("bpp")
        style = styles[str(codec)]
        axes.plot(
            ordered["bpp"], ordered["value"], **style.line, **hollow(style), zorder=2.2,
            label=f"{codec} (published)",
        )  # fmt: skip


def with_published(
    limits: tuple[float, float], axes: Axes, rows: pd.DataFrame, metric: str
) -> tuple[float, float]:
    """Limits of the vertical axis that show the published values at rates inside the axes, too."""
    within = (rows["metric"] == metric) & rows["bpp"].between(*axes.get_xlim())
    values = rows.loc[within, "value"].to_numpy(dtype=np.float64)
    if not len(values):
        return limits
    low, high = min(limits[0], values.min()), max(limits[1], values.max())
    room = 0.04 * (high - low)
    return min(limits[0], float(values.min()) - room), max(limits[1], float(values.max()) + room)


def inside(
    rows: pd.DataFrame, metrics: Collection[str], rates: tuple[float, float]
) -> pd.Series[bool]:
    """True for the points of codecs with a curve that reaches rates inside the axes.

    Args:
        metrics: those with an axis.
        rates: limits of the horizontal axis.
    """
    shown = rows[rows["metric"].isin(metrics)]
    ends = shown.groupby(["codec", "metric"])["bpp"].agg(["min", "max"])
    reach = ends[(ends["min"] <= rates[1]) & (ends["max"] >= rates[0])]
    return rows["codec"].isin({codec for codec, _ in reach.index})


def published_handles(rows: pd.DataFrame, styles: Mapping[str, FamilyStyle]) -> list[Line2D]:
    """Legend handles of published codecs: estimated bits are named, deviations have a dagger."""
    handles = []
    for codec, points in rows.groupby("codec", sort=True):
        words = ["published"]
        words += [f"bits {kind}" for kind in sorted(set(points["bits"]) - {REAL})]
        words = [word.replace(f"bits {ESTIMATED}", "estimated bits") for word in words]
        mark = DAGGER if any(map(deviation, points["how_read"])) else ""
        style = styles[str(codec)]
        handles.append(
            Line2D(
                [], [], **style.line, **hollow(style), label=f"{codec}{mark} ({', '.join(words)})"
            )
        )
    return handles


def published_note(rows: pd.DataFrame, beyond: Sequence[str] = ()) -> str:
    """Note on published curves, with the deviations of their metrics from ours.

    Args:
        rows: of the curves that are drawn.
        beyond: codecs of curves that lie beyond the axes.
    """
    if rows.empty:
        return f" Published curves beyond the axes: {', '.join(beyond)}."
    text = (
        " Dashed, hollow: published, not measured here, without intervals, cut at the axes; "
        "sources in published.csv."
    )
    text += f" Beyond them: {', '.join(beyond)}." if beyond else ""
    for words, points in rows.groupby(rows["how_read"].map(deviation), sort=True):
        if words:
            text += f" {DAGGER}\u00a0{', '.join(sorted(set(points['codec'])))}: {words}."
    return text
