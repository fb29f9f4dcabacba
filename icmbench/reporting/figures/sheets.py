"""Sheets of images: figures of fixed size with positions in inches from the top left corner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image as PillowImage

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.panels import EDGE, wrapped
from icmbench.reporting.figures.style import DPI, MUTED

Pixels = NDArray[np.uint8]

_WIDE, _TALL = 2.6, 2.9  # inches: largest width and height of an image
_LEAST: Final = 2.0  # inches: smallest width of the text above an image
_GAP: Final = 0.15
_LINE: Final = 0.155  # inches: height of a line of text above an image
_NOTE: Final = 0.137  # inches: height of a line of the note


class Sheet:
    """A figure with its title on top and its note at the bottom.

    Args:
        wide: width in inches.
        tall: height in inches between title and note.
        note: text below, wrapped to the width.

    Attributes:
        figure: the figure; `save` writes it.
        top: distance in inches from the top edge to the end of the title.
    """

    def __init__(self, wide: float, tall: float, title: str, note: str) -> None:
        head, foot = wrapped(title, wide, 9.6), wrapped(note, wide, 17.5)
        self.top = 0.24 + 0.19 * len(head)
        self.wide, self.tall = wide, self.top + tall + 0.16 + _NOTE * len(foot)
        self.figure = Figure(figsize=(self.wide, self.tall))
        self.text(EDGE, 0.1, "\n".join(head), fontsize=11, fontweight="bold")
        style: dict[str, Any] = {"fontsize": 7.5, "color": MUTED, "linespacing": 1.3}
        self.text(EDGE, self.tall - 0.09, "\n".join(foot), va="bottom", **style)

    def text(self, left: float, top: float, words: str, **style: Any) -> None:
        """Write text with its top left corner at (left, top)."""
        place = (left / self.wide, 1 - top / self.tall)
        self.figure.text(*place, words, **{"va": "top", "ha": "left", **style})

    def words(self, left: float, top: float, title: str, *lines: str) -> None:
        """Write a bold line and smaller lines below it."""
        self.text(left, top, title, fontsize=8.5, fontweight="bold")
        for number, line in enumerate(lines, start=1):
            self.text(left, top + 0.01 + _LINE * number, line, fontsize=7.5, color=MUTED)

    def axes(self, left: float, top: float, wide: float, high: float) -> Axes:
        """Add axes by top left corner and size in inches."""
        bottom = 1 - (top + high) / self.tall
        return self.figure.add_axes(
            (left / self.wide, bottom, wide / self.wide, high / self.tall)
        )  # fmt: skip

    def picture(self, left: float, top: float, wide: float, pixels: Pixels) -> Axes:
        """Show an image `wide` inches wide; its axes are the unit square, y upwards.

        The image is reduced to twice the resolution of the figure, to keep vector files small.
        """
        high = wide * pixels.shape[0] / pixels.shape[1]
        axes = self.axes(left, top, wide, high)
        axes.set_axis_off()
        axes.imshow(
            _shrunk(pixels, 2 * round(wide * DPI)), aspect="auto", interpolation="antialiased",
            extent=(0, 1, 0, 1),
        )  # fmt: skip
        return axes


def _shrunk(pixels: Pixels, most: int) -> Pixels:
    if pixels.shape[1] <= most:
        return pixels
    size = (most, max(1, round(most * pixels.shape[0] / pixels.shape[1])))
    shrunk = PillowImage.fromarray(pixels).resize(size, PillowImage.Resampling.LANCZOS)
    return np.asarray(shrunk)


@dataclass(frozen=True)
class Panel:
    """An image, uint8 (H, W, 3), with a bold line and further lines above it."""

    picture: Pixels
    title: str
    lines: tuple[str, ...] = ()


def original_panel(original: Pixels) -> Panel:
    """Panel of the original, the first one of a sheet."""
    return Panel(original, "original", (f"{original.shape[1]} \u00d7 {original.shape[0]} px",))


def picture_sheet(panels: Sequence[Panel], *, title: str, note: str, below: float = 0.0) -> Figure:
    """Draw images of one size in rows of at most three, text above each, a note below.

    Call it within `style.theme`.

    Args:
        below: inches that are left free below each image.

    Raises MeasurementError where images differ in size.
    """
    if len({panel.picture.shape for panel in panels}) != 1:
        raise MeasurementError("all images of a sheet must have the original's size")
    height, width = panels[0].picture.shape[:2]
    across = min(len(panels), 2 if len(panels) == 4 else 3)
    wide = min(_WIDE, _TALL * width / height)
    words = 0.04 + _LINE * (1 + max(len(panel.lines) for panel in panels))
    pitch, band = max(wide, _LEAST) + _GAP, words + wide * height / width + below + _GAP
    # A column alone would be too narrow for title and note.
    sheet_width = max(2 * EDGE + across * pitch - _GAP, 4.2)
    sheet = Sheet(sheet_width, -(-len(panels) // across) * band, title, note)
    for index, panel in enumerate(panels):
        row, column = divmod(index, across)
        left, top = EDGE + column * pitch, sheet.top + row * band
        sheet.words(left, top, panel.title, *panel.lines)
        sheet.picture(left, top + words, wide, panel.picture)
    return sheet.figure
