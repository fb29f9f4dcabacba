"""Logarithmic axes, and numbers without exponents."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from icmbench.core.errors import MeasurementError

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
    axes: Axes, which: Literal["x", "y"], values: Iterable[float], pad: float = 0.06, most: int = 8
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
