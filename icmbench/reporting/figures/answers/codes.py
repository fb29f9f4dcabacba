"""Bar codes as outlines with their texts; dashed, those that are not read any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from icmbench.barcodes.formats import FORMATS
from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.predicted import SMALL, Predicted, panel, pixels
from icmbench.reporting.figures.sheets import picture_sheet
from icmbench.tasks.answers.codes import Codes
from icmbench.tasks.base import Labels

# Light and dark: told apart in grey, too.
READ: Final = "#00d5ff"
WRONG: Final = "#ff9d00"
LOST: Final = "#ffffff"
DARK: Final = "#101010"
LONGEST: Final = 20  # characters of a text
NOTE: Final = (
    "Solid: a symbol with the format and text that were read in the original, with its text; "
    "dashed: one that was read in the original alone; dash-dotted: one that was not read there."
)


def draw(seen: Sequence[Predicted], labels: Labels, title: str, note: str) -> Figure:
    """The symbols of every panel, and those of the first, the original, that are lost in it.

    Raises MeasurementError for an answer of another kind.
    """
    found = [_codes(one) for one in seen]
    first = found[0]
    panels, lost = [], []
    for one, codes in zip(seen, found, strict=True):
        absent = [n for n in range(len(first.texts)) if not _has(codes, first, n)]
        lost.append(absent)
        read = len(first.texts) - len(absent)
        fact = f"{read} of {len(first.texts)} read" if one.bpp is not None else f"{read} read"
        panels.append(panel(one, one.picture, fact))
    figure = picture_sheet(panels, title=title, note=f"{NOTE} {note}")
    for axes, one, codes, absent in zip(figure.axes, seen, found, lost, strict=True):
        size = one.picture.shape[0], one.picture.shape[1]
        for n in range(len(codes.texts)):
            known = _has(first, codes, n)
            words = f"{FORMATS[codes.formats[n]].title}: {_short(codes.texts[n])}"
            style = (READ, "-") if known else (WRONG, "-.")
            _outline(axes, size, codes.corners[n], words, *style)
        for n in absent:
            _outline(axes, size, first.corners[n], "not read", LOST, (0, (2.5, 2)))
    return figure


def _codes(one: Predicted) -> Codes:
    if not isinstance(one.prediction, Codes):
        raise MeasurementError(f"{one.title}: not codes, as in the original")
    return one.prediction


def _has(codes: Codes, other: Codes, number: int) -> bool:
    """True if `codes` has symbol `number` of others: format, text, about the same place."""
    corners = other.corners[number]
    radius = float(np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1).max()) / 2
    away = np.linalg.norm(codes.corners.mean(axis=1) - corners.mean(axis=0), axis=1)
    key = other.formats[number], other.texts[number]
    same = [each == key for each in zip(codes.formats, codes.texts, strict=True)]
    return bool((np.array(same, bool) & (away < radius)).any())


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:4]}\u2026{text[5 - LONGEST :]}"


def _outline(
    axes: Axes, size: tuple[int, int], corners: NDArray[np.float64], words: str, colour: str,
    line: Any,
) -> None:  # fmt: skip
    """Draw an outline in an image of `size` (height, width), with its text below, in the image."""
    height, width = size
    transform = pixels(axes, height, width)
    axes.add_patch(
        Polygon(
            corners, closed=True, fill=False, edgecolor=colour, linewidth=1.2, linestyle=line,
            transform=transform, path_effects=[withStroke(linewidth=2.4, foreground=DARK)],
        )
    )  # fmt: skip
    (left, _), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    x, side = (left + right) / 2, "center"
    if x < width / 3:
        x, side = max(left, 0), "left"
    elif x > 2 * width / 3:
        x, side = min(right, width), "right"
    y, end = (bottom + 1, "top") if bottom < 0.94 * height else (min(bottom, height), "bottom")
    axes.text(
        x, y, words, transform=transform, fontsize=SMALL, color=DARK, va=end, ha=side,
        clip_on=True, bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.7},
    )  # fmt: skip
