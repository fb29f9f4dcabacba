"""One image at every rate of a codec that decodes by diffusion, on a sheet of pictures."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image as PillowImage

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.axes import foot, heading, note_height, wrap_note
from icmbench.reporting.figures.style import DPI, MUTED, theme

Pixels = NDArray[np.uint8]

_COLUMNS: Final = 3
_WIDE, _TALL = 2.6, 2.9  # inches: a picture fits into this box
_LEAST: Final = 1.9  # inches that the words above a picture take
_MARGIN, _GAP, _BETWEEN = 0.12, 0.14, 0.16
_LINE: Final = 0.15  # inches of a line above a picture


@dataclass(frozen=True)
class Panel:
    """A picture, uint8 (H, W, 3), with a bold line and further lines above it."""

    picture: Pixels
    title: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class RatePicture:
    """What a rate point's file decodes to.

    Attributes:
        rate: from 1, the lowest.
        bytes: of the file.
        psnr: in dB, of the picture against the original.
        tags: names of the tags in the file.
        picture: uint8 (H, W, 3).
    """

    rate: int
    codec: str
    bytes: int
    psnr: float
    tags: tuple[str, ...]
    picture: Pixels

    @property
    def bpp(self) -> float:
        """Bits of the file per pixel of the original."""
        height, width = self.picture.shape[:2]
        return 8 * self.bytes / int(height * width)


def diffusion_rates(original: Pixels, rates: Sequence[RatePicture], *, title: str) -> Figure:
    """Draw the original and what each rate's file decodes to, the lowest rate first.

    Raises MeasurementError without a rate, or where a picture has not the original's size.
    """
    if not rates:
        raise MeasurementError("a figure of rates needs at least one")
    ordered = sorted(rates, key=lambda rate: rate.rate)
    panels = [original_panel(original)]
    for rate in ordered:
        words = f"{rate.bpp:.4f} bpp \u00b7 {psnr_words(rate.psnr)}"
        panels.append(Panel(rate.picture, f"rate {rate.rate}", (words, f"{rate.bytes:,} bytes")))
    return picture_sheet(panels, title=title, note=_note(ordered))


def _note(rates: Sequence[RatePicture]) -> str:
    names = ", ".join(rate.codec for rate in rates)
    sets = {rate.tags for rate in rates}
    if len(sets) == 1:
        told = f"Tags in every file: {tag_words(rates[0].tags)}."
    else:
        told = " ".join(f"Tags at rate {rate.rate}: {tag_words(rate.tags)}." for rate in rates)
    return (
        f"{told} bpp: bits of the whole file per original pixel. Every picture was decoded from "
        f"its file by a fresh process. Codec: {names}."
    )


def original_panel(original: Pixels) -> Panel:
    """The panel that comes first."""
    size = f"{original.shape[1]} \u00d7 {original.shape[0]} px"
    return Panel(original, "original", (size,))


def psnr_words(psnr: float) -> str:
    """`PSNR 24.31 dB`, or that nothing was lost."""
    return "lossless" if math.isinf(psnr) else f"PSNR {psnr:.2f} dB"


def tag_words(tags: Sequence[str]) -> str:
    """The tags' names in one line."""
    return ", ".join(tags) or "none"


def picture_sheet(panels: Sequence[Panel], *, title: str, note: str) -> Figure:
    """Pictures of one size in rows of at most three, words above each, a note below.

    Raises MeasurementError where pictures differ in size.
    """
    if len({panel.picture.shape for panel in panels}) != 1:
        raise MeasurementError("a sheet takes pictures of the original's size")
    sheet = _Sheet(panels, title, note)
    with theme():
        figure = Figure(figsize=(sheet.wide, sheet.tall))
        heading(figure, "\n".join(sheet.title), left=_MARGIN)
        foot(figure, sheet.note)
        for index, panel in enumerate(panels):
            _draw(figure, sheet, panel, *divmod(index, sheet.across))
    return figure


class _Sheet:
    """Where things stand, in inches from the upper left corner."""

    def __init__(self, panels: Sequence[Panel], title: str, note: str) -> None:
        height, width = panels[0].picture.shape[:2]
        self.across = min(len(panels), 2 if len(panels) == 4 else _COLUMNS)
        self.picture = min(_WIDE, _TALL * width / height)
        self.high = self.picture * height / width
        self.pitch = max(self.picture, _LEAST) + _GAP
        # A column alone would be too narrow for heading and note.
        self.wide = max(2 * _MARGIN + self.across * self.pitch - _GAP, 4.2)
        self.title = textwrap.wrap(title, int((self.wide - 2 * _MARGIN) * 9.5))
        self.note = wrap_note(note, self.wide)
        self.head = 0.24 + 0.19 * len(self.title)
        self.words = 0.04 + _LINE * (1 + max(len(panel.lines) for panel in panels))
        self.band = self.words + self.high + _BETWEEN
        bands = -(-len(panels) // self.across)
        self.tall = self.head + bands * self.band + note_height(self.note)


def _draw(figure: Figure, sheet: _Sheet, panel: Panel, band: int, column: int) -> None:
    left, top = _MARGIN + column * sheet.pitch, sheet.head + band * sheet.band
    style: dict[str, Any] = {"va": "top", "ha": "left"}
    x = left / sheet.wide
    figure.text(x, 1 - top / sheet.tall, panel.title, fontsize=8.5, fontweight="bold", **style)
    for number, line in enumerate(panel.lines, start=1):
        y = 1 - (top + _LINE * number + 0.01) / sheet.tall
        figure.text(x, y, line, fontsize=7.5, color=MUTED, **style)
    above = top + sheet.words
    axes = figure.add_axes(
        (x, 1 - (above + sheet.high) / sheet.tall, sheet.picture / sheet.wide,
         sheet.high / sheet.tall)
    )  # fmt: skip
    axes.set_axis_off()
    axes.imshow(
        _shrunk(panel.picture, 2 * round(sheet.picture * DPI)), aspect="auto",
        interpolation="antialiased", extent=(0, 1, 0, 1),
    )  # fmt: skip


def _shrunk(pixels: Pixels, most: int) -> Pixels:
    """A picture of at most `most` columns: the vector files hold no more than can be seen."""
    if pixels.shape[1] <= most:
        return pixels
    size = (most, max(1, round(most * pixels.shape[0] / pixels.shape[1])))
    shrunk = PillowImage.fromarray(pixels).resize(size, PillowImage.Resampling.LANCZOS)
    return np.asarray(shrunk)
