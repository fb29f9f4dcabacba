"""Seconds per stage of an image: one stacked bar for encoding, one for decoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from icmbench.reporting.figures.axes import plain
from icmbench.reporting.figures.panels import finish, grid
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.style import INK, theme
from icmbench.reporting.tables.complexity import DECODING, ENCODING, PUBLISHED

_WIDE: Final = 7.4
_PANEL: Final = 1.7  # inches of the two bars
_WORTH: Final = 0.07  # share of the axis from which a part has its seconds written into it
# Greys and hatches alone: on paper nothing is lost.
_LOOKS: Final[tuple[tuple[str, str], ...]] = (
    ("#f2f2f2", ""),
    ("#c9c9c9", "//////"),
    ("#9a9a9a", ""),
    ("#5a5a5a", ""),
)


def complexity_figure(table: pd.DataFrame, *, title: str) -> Figure:
    """Draw the seconds of `icmbench.studies.complexity.complexity_table`'s measured model.

    Two stacked bars on one linear axis, with a legend of the stages and their seconds beside each.
    A placeholder says so where nothing was measured.
    """
    rows = table[(table["model"] != PUBLISHED) & table["seconds"].notna()]
    seconds = {str(s): float(v) for s, v in zip(rows["stage"], rows["seconds"], strict=True)}
    bars: dict[str, list[str]] = {
        "encode": [stage for stage in ENCODING if stage in seconds],
        "decode": [stage for stage in DECODING if stage in seconds],
    }
    if not all(bars.values()):
        return placeholder(title, "no stage was measured.")
    with theme():
        figure, (axes,) = grid(1, _WIDE, _PANEL)
        _bars(axes, bars, seconds)
        most = max(len(stages) for stages in bars.values())
        handles = [h for side in bars for h in _handles(side, bars[side], seconds, most)]
        finish(figure, title, _note(rows), handles, ncols=2, handlelength=2.2)
    return figure


def _note(rows: pd.DataFrame) -> str:
    size, device = rows["size"].iloc[0], next(d for d in rows["device"] if d)
    where = "one CPU thread" if device == "cpu" else f"the device {device}"
    peaks = rows.dropna(subset=["peak_mb"])
    memory = "; ".join(
        f"{stage}: {peak:,.0f}"
        for stage, peak in zip(peaks["stage"], peaks["peak_mb"], strict=True)
    )
    text = (
        f"Medians for one image of {size} pixels on {where}, after a warm-up, without loading the "
        "model. With classifier-free guidance, sampling evaluates UNet and control network twice a "
        "step, with the tags and without."
    )
    return text + (f" Peak memory in MB \u2013 {memory}." if memory else "")


def _bars(axes: Axes, bars: Mapping[str, Sequence[str]], seconds: Mapping[str, float]) -> None:
    longest = max(sum(seconds[stage] for stage in stages) for stages in bars.values())
    for place, stages in enumerate(bars.values()):
        start = 0.0
        for (colour, hatch), stage in zip(_LOOKS, stages, strict=False):
            length = seconds[stage]
            axes.barh(
                place, length, 0.62, left=start, color=colour, hatch=hatch, edgecolor=INK,
                linewidth=0.6,
            )  # fmt: skip
            if length >= _WORTH * longest:
                _inside(axes, start + length / 2, place, plain_seconds(length), colour, hatch)
            start += length
        axes.annotate(
            f"{plain_seconds(start)} s", (start, place), (4, 0), textcoords="offset points",
            va="center", fontsize=8, fontweight="bold",
        )  # fmt: skip
    axes.set_yticks(range(len(bars)), list(bars), fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12 * longest)
    axes.set_xlabel("seconds")
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _inside(axes: Axes, x: float, y: float, text: str, colour: str, hatch: str) -> None:
    box = {"facecolor": colour, "edgecolor": "none", "pad": 1.0} if hatch else None
    dark = colour == _LOOKS[-1][0]
    axes.text(
        x, y, text, ha="center", va="center", fontsize=7.5, color="white" if dark else "black",
        bbox=box,
    )  # fmt: skip


def _handles(
    side: str, stages: Sequence[str], seconds: Mapping[str, float], most: int
) -> list[Patch]:
    """A column of the legend: the side, its stages, and nothing up to `most` stages."""
    named = [
        Patch(facecolor=colour, hatch=hatch, edgecolor=INK, linewidth=0.6,
              label=f"{stage}: {plain_seconds(seconds[stage])} s")
        for (colour, hatch), stage in zip(_LOOKS, stages, strict=False)
    ]  # fmt: skip
    empty = [Patch(visible=False, label=" ") for _ in range(most - len(stages))]
    return [Patch(visible=False, label=side), *named, *empty]


def plain_seconds(value: float) -> str:
    """Seconds with three digits: `0.0396`, `1.23`, `87`."""
    return plain(float(f"{value:.3g}"))
