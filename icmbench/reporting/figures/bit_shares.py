"""Shares of the bits of an MPD file: stacked bars of its parts at every state."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from icmbench.reporting.figures.axes import plain
from icmbench.reporting.figures.panels import finish, grid, label_panel
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.states import curve_names
from icmbench.reporting.figures.style import INK, theme

_PANEL = (4.4, 3.0)
_BAR = 0.74
_WORTH = 0.055  # shares from here on carry their number


class Part(NamedTuple):
    """A segment of the bars: summed columns, lightness and hatch."""

    title: str
    columns: tuple[str, ...]
    colour: str
    hatch: str


PARTS: Final = (
    Part("index map", ("map",), "#c9dff0", ""),
    Part("palette offsets", ("offsets",), "#5a9fd4", "////"),
    Part("tree shape", ("shape",), "#f0c04f", "...."),
    Part("refinement", ("refinement",), "#8fc79a", "\\\\\\\\"),
    Part("header, lengths, checksums, rounding", ("frame", "rounding"), "#3c4043", ""),
)


def part_rates(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean bits per pixel of every part of the file cut at a state.

    Args:
        rows: of `reporting.states.write_states`, one encoding of one data set.

    Returns:
        Index: state, coarsest first; a column per title of `PARTS`, which add up to the mean bits
        per pixel of the file. Means are over the images that hold the state.
    """
    ordered = rows.sort_values(["image", "state"], ascending=[True, False], kind="stable")
    pixels = 8 * ordered["bytes"] / ordered["bpp"]
    out = pd.DataFrame({"state": ordered["state"]})
    for part in PARTS:
        bits = ordered[list(part.columns)].sum(axis=1)
        out[part.title] = bits.groupby(ordered["image"]).cumsum() / pixels
    return out.groupby("state").mean().sort_index(ascending=False)


def bit_shares(rows: pd.DataFrame, dataset: str) -> Figure:
    """Draw shares and bits per pixel of the parts against the state; a row of panels per encoding.

    Args:
        rows: of `reporting.states.write_states`, any data sets.

    Where the data set has no row, a placeholder says so.
    """
    own = rows[rows["dataset"] == dataset]
    title = f"Shares of the bits, {dataset}"
    if own.empty:
        return placeholder(title, "no image of this data set has an MPD stream that decodes.")
    names = curve_names(own)
    with theme():
        figure, panels = grid(2 * len(names), *_PANEL, columns=2)
        for index, ((family, encoding), name) in enumerate(names.items()):
            part = own[(own["family"] == family) & (own["encoding"] == encoding)]
            rates = part_rates(part)
            total = rates.sum(axis=1)
            left, right = panels[2 * index : 2 * index + 2]
            _bars(left, rates.div(total, axis=0), numbers=True)
            _bars(right, rates, numbers=False)
            _totals(right, total)
            _label(left, right, "" if len(names) == 1 else f", {name}")
        highest = max(axes.get_ylim()[1] for axes in panels[1::2])
        for axes in panels[1::2]:
            axes.set_ylim(0, highest)
        handles = panels[0].get_legend_handles_labels()[0]
        finish(figure, title, _note(own), handles, handlelength=2.2)
    return figure


def _note(rows: pd.DataFrame) -> str:
    count = rows["image"].nunique()
    return (
        f"The file cut at each state, mean bits per original pixel over {count} "
        f"image{'s' * (count != 1)}. Index map, palette offsets, tree shape, refinement: "
        "information that the entropy coder was given; rounding: to whole bytes, section by "
        "section. Left: shares of the mean file. Right: number above a bar: the file's bits per "
        "pixel."
    )


def _bars(axes: Axes, values: pd.DataFrame, *, numbers: bool) -> None:
    places = np.arange(len(values))
    bottom = np.zeros(len(values))
    for part in PARTS:
        height = values[part.title].to_numpy(float)
        axes.bar(
            places, height, _BAR, bottom=bottom, color=part.colour, hatch=part.hatch,
            edgecolor="white" if part.colour == "#3c4043" else INK, linewidth=0.5,
            label=part.title,
        )  # fmt: skip
        for x, low, high in zip(places, bottom, height, strict=True):
            if numbers and high >= _WORTH:
                _number(axes, float(x), low + high / 2, f"{100 * high:.0f}", part)
        bottom = bottom + height
    axes.set_xticks(places, [str(state) for state in values.index])
    axes.set_xlim(-0.6, len(values) - 0.4)
    axes.grid(False, axis="x")
    axes.tick_params(axis="x", length=0)


def _number(axes: Axes, x: float, y: float, text: str, part: Part) -> None:
    dark = part.colour == "#3c4043"
    box = {"facecolor": part.colour, "edgecolor": "none", "pad": 0.8} if part.hatch else None
    axes.text(
        x, y, text, ha="center", va="center", fontsize=6.5, color="white" if dark else "black",
        bbox=box,
    )  # fmt: skip


def _totals(axes: Axes, total: pd.Series) -> None:
    for x, value in enumerate(total):
        axes.annotate(
            plain(float(f"{value:.3g}")), (x, value), (0, 2), textcoords="offset points",
            ha="center", va="bottom", fontsize=6.5,
        )  # fmt: skip
    axes.set_ylim(0, 1.08 * float(total.max()))


def _label(left: Axes, right: Axes, name: str) -> None:
    label_panel(left, f"Share of the file{name}", "adds up to 100 %")
    left.set_ylabel("share of the bits (%)")
    left.set_ylim(0, 1)
    left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}"))
    label_panel(right, f"Rate{name}", "lower is better ↓")
    right.set_ylabel("bits per pixel")
    right.yaxis.set_major_locator(MaxNLocator(6))
    right.yaxis.set_major_formatter(FuncFormatter(plain))
    for axes in (left, right):
        axes.set_xlabel("the file is cut at diffusion state t, finer →")
