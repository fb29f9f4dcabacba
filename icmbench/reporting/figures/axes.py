"""Logarithmic axes with plain numbers, and panels in a grid."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.style import MUTED

MINUS = "\u2212"
_STEPS: tuple[tuple[float, ...], ...] = (
    (1, 1.5, 2, 3, 4, 5, 7),
    (1, 2, 3, 5),
    (1, 2, 5),
    (1, 3),
    (1,),
)


def log_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """At most `most` round numbers in [low, high], evenly spread on a log axis.

    Raises MeasurementError unless 0 < low < high.
    """
    if not 0 < low < high < math.inf:
        raise MeasurementError(f"a log axis needs 0 < low < high, not {low} and {high}")
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for stride, steps in [(1, steps) for steps in _STEPS] + [(n, (1.0,)) for n in range(2, 12)]:
        ticks = [
            float(f"{step}e{decade}")
            for decade in decades
            if decade % stride == 0
            for step in steps
        ]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= most:
            return ticks
    return ticks[:most]


def plain(value: float, _position: int | None = None) -> str:
    """`0.05`, `2`, `1500`: no exponents, no trailing zeros, four digits at most."""
    return np.format_float_positional(float(f"{value:.4g}"), trim="-")


def signed(value: float, _position: int | None = None) -> str:
    """`+0.05`, `\u22121.5`, `0`."""
    text = plain(value)
    return "0" if text in {"0", "-0"} else f"{'+' if value > 0 else ''}{text}".replace("-", MINUS)


def log_axis(
    axes: Axes,
    which: Literal["x", "y"],
    values: Iterable[float],
    pad: float = 0.06,
    most: int = 8,
) -> None:
    """Make an axis logarithmic over the positive `values`, with `pad` of its length on each side.

    Raises MeasurementError if no value is positive and finite.
    """
    logs = [math.log10(v) for v in values if v > 0 and math.isfinite(v)]
    if not logs:
        raise MeasurementError("a log axis has no positive value to show")
    span = max(max(logs) - min(logs), 0.3)
    centre = (max(logs) + min(logs)) / 2
    low, high = (10 ** (centre + sign * span * (0.5 + pad)) for sign in (-1, 1))
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(log_ticks(low, high, most)))
    axis.set_major_formatter(FuncFormatter(plain))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def panel_grid(
    count: int, width: float, height: float, columns: int = 3, below: float = 1.0
) -> tuple[Figure, Sequence[Axes]]:
    """A figure of `count` panels, each `width` x `height` inches, and `below` inches below them.

    The space below is left for legend and notes, 0.8 inches above for a heading. Raises
    MeasurementError if `count` is 0.
    """
    if count < 1:
        raise MeasurementError("a figure needs at least one panel")
    # Four panels look better as 2 x 2 than as 3 + 1.
    across = 2 if count == 4 and columns == 3 else min(columns, count)
    down = math.ceil(count / across)
    wide, tall = across * width, down * height + below + 0.25
    figure = Figure(figsize=(wide, tall))
    grid = figure.add_gridspec(
        down,
        across,
        left=0.62 / wide,
        right=1 - 0.12 / wide,
        top=1 - 0.8 / tall,
        bottom=(below + 0.45) / tall,
        wspace=0.62 / (width - 0.62),
        hspace=0.95 / (height - 0.95),
    )
    return figure, [figure.add_subplot(grid[i // across, i % across]) for i in range(count)]


def heading(figure: Figure, text: str, left: float = 0.12) -> None:
    """Write the figure's title into its upper left corner, `left` inches from the edge."""
    width, tall = figure.get_size_inches()
    figure.text(
        left / width, 1 - 0.1 / tall, text, va="top", fontsize=11, fontweight="bold"
    )  # fmt: skip


def wrap_note(text: str, width: float) -> list[str]:
    """Lines of a note in 7.5 point type that fit `width` inches."""
    return textwrap.wrap(text, int((width - 0.24) * 17.5))


def foot(figure: Figure, lines: Sequence[str]) -> None:
    """Write note lines (see `wrap_note`) into the lower left corner."""
    width, tall = figure.get_size_inches()
    figure.text(
        0.12 / width, 0.09 / tall, "\n".join(lines), va="bottom", fontsize=7.5, color=MUTED,
        linespacing=1.3,
    )  # fmt: skip


def note_height(lines: Sequence[str]) -> float:
    """Inches that `foot` takes."""
    return 0.16 + 0.137 * len(lines)
