"""Styles of the report's curves: those of the figures, in the terms of Plotly and of SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path

from icmbench.reporting.figures.published_curves import published_handles, published_styles
from icmbench.reporting.figures.style import (
    Dash,
    FamilyStyle,
    family_styles,
    mark_foreign,
)

# matplotlib's markers by Plotly's names.
SYMBOLS: Final[Mapping[str, str]] = {
    "o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down",
    "P": "cross", "x": "x-thin", "*": "star", "X": "x", "h": "hexagon", "<": "triangle-left",
    ">": "triangle-right", "p": "pentagon", "d": "diamond-tall", "8": "octagon", "H": "hexagon2",
    "+": "cross-thin",
}  # fmt: skip
_RADIUS: Final = 4.5  # of a swatch's marker, in pixels
_CODES: Final = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C"}


def chart_styles(families: Iterable[str], names: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Style and legend text of every codec entry, as JSON types.

    Args:
        families: the codec entries of the run; they decide the styles, as in the figures.
        names: codec entry -> legend text, where it differs from the name.
    """
    styles = mark_foreign(family_styles(families), names)
    return {name: _style(styles[name], names.get(name, name)) for name in sorted(styles)}


def published_chart_styles(published: pd.DataFrame | None) -> dict[str, dict[str, Any]]:
    """Style and legend text of every published codec, those of the figures.

    Args:
        published: the table; None where the run has none.
    """
    if published is None:
        return {}
    styles = published_styles(published["codec"])
    handles = published_handles(published, styles)
    return {
        name: _style(style, str(handle.get_label()))
        for (name, style), handle in zip(styles.items(), handles, strict=True)
    }


def _style(style: FamilyStyle, name: str) -> dict[str, Any]:
    return {
        "label": name,
        "colour": style.colour,
        "symbol": SYMBOLS[style.marker],
        "dash": _dash(style.dash, style.width),
        "width": style.width,
        "marker": _outline(style.marker),
    }


def _dash(dash: Dash, width: float) -> str:
    """Lengths of dashes and gaps in pixels, separated by commas; empty for a solid line."""
    if dash == "-":
        return ""
    lengths = (6.4, 1.6, 1.0, 1.6) if dash == "-." else dash[1]  # matplotlib's dash-dot
    return ",".join(f"{float(length) * width:.4g}" for length in lengths)


def _outline(marker: str) -> str:
    """Outline of a marker of matplotlib as the path data of SVG, centred at the origin."""
    given = MarkerStyle(marker)
    path = given.get_path().transformed(given.get_transform())
    largest = float(np.abs(np.asarray(path.vertices)).max())
    parts = []
    for points, code in path.iter_segments():
        if code == Path.CLOSEPOLY:
            parts.append("Z")
            continue
        # Downwards is positive in SVG.
        pairs = [f"{_RADIUS * x / largest:.2f} {-_RADIUS * y / largest:.2f}"
                 for x, y in points.reshape(-1, 2)]  # fmt: skip
        parts.append(_CODES[code] + " ".join(pairs))
    return "".join(parts)
