"""A flat sheet with text: writing on it, its material, the exact boxes of its lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from icmbench.lettering.fonts import Face, load_font

SCALE: Final = 4  # pixels of a sheet per pixel of the image, at its nominal size

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class SheetLine:
    """A line of text on a sheet.

    Attributes:
        text: as it is written.
        box: float64 (4, 2), its corners in pixels of the sheet: as wide as the advances of its
            characters, from the ascent to the descent of its face.
        size: of the face, its em in pixels of the image at the nominal size.
        face: of the text.
    """

    text: str
    box: NDArray[np.float64]
    size: float
    face: Face


@dataclass(frozen=True)
class Sheet:
    """A flat sheet: uint8 (h, w, 4), sRGB and opacity, and its lines.

    Attributes:
        glossy: as enamel or a printed foil, not as paper.
    """

    pixels: NDArray[np.uint8]
    lines: tuple[SheetLine, ...]
    glossy: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels of the sheet."""
        return self.pixels.shape[1], self.pixels.shape[0]


class Board:
    """A sheet to write on; all lengths are pixels of the image at the nominal size."""

    def __init__(self, width: float, height: float, colour: Colour, *, corner: float = 0.0) -> None:
        """`corner`: radius of the rounded corners."""
        self.width, self.height = width, height
        size = round(width * SCALE), round(height * SCALE)
        self._image = Image.new("RGB", size, colour)
        self._opacity = Image.new("L", size, 0)
        outline = (0, 0, size[0] - 1, size[1] - 1)
        ImageDraw.Draw(self._opacity).rounded_rectangle(outline, corner * SCALE, fill=255)
        self._draw = ImageDraw.Draw(self._image)
        self._lines: list[SheetLine] = []

    def write(
        self, text: str, x: float, y: float, face: Face, size: float, ink: Colour, anchor: str = "l"
    ) -> None:
        """Write a line on the baseline y: from x (`anchor` l), around it (m), or up to it (r)."""
        font = load_font(face, round(size * SCALE))
        self._draw.text((x * SCALE, y * SCALE), text, fill=ink, font=font, anchor=f"{anchor}s")
        wide, (ascent, descent) = font.getlength(text), font.getmetrics()
        left = x * SCALE - wide * {"l": 0, "m": 0.5, "r": 1}[anchor]
        right, top, bottom = left + wide, y * SCALE - ascent, y * SCALE + descent
        box = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
        self._lines.append(SheetLine(text, box, size, face))

    def rule(self, x: float, y: float, right: float, thick: float, ink: Colour) -> None:
        """A horizontal line."""
        self.block(x, y - thick / 2, right, y + thick / 2, ink)

    def block(
        self, x: float, y: float, right: float, bottom: float, ink: Colour, corner: float = 0.0
    ) -> None:
        """A filled rectangle."""
        box = tuple(round(value * SCALE) for value in (x, y, right, bottom))
        self._draw.rounded_rectangle(box, corner * SCALE, fill=ink)

    def frame(self, inset: float, thick: float, ink: Colour, corner: float = 0.0) -> None:
        """A line around the sheet, `inset` from its edge."""
        width, height = self._image.size
        low = inset * SCALE
        self._draw.rounded_rectangle(
            (low, low, width - 1 - low, height - 1 - low), corner * SCALE, outline=ink,
            width=max(1, round(thick * SCALE)),
        )  # fmt: skip

    def disc(self, x: float, y: float, radius: float, ink: Colour) -> None:
        """A filled circle: the head of a screw."""
        box = [SCALE * value for value in (x - radius, y - radius, x + radius, y + radius)]
        self._draw.ellipse(box, fill=ink)

    def arrow(self, x: float, y: float, length: float, ink: Colour) -> None:
        """An arrow that begins at x and points right; to the left where `length` is negative."""
        half, head = abs(length) * 0.11, abs(length) * 0.42
        sign = 1 if length > 0 else -1
        neck, tip = x + length - sign * head, x + length
        points = [(x, y - half), (neck, y - half), (neck, y - head), (tip, y), (neck, y + head),
                  (neck, y + half), (x, y + half)]  # fmt: skip
        self._draw.polygon([(px * SCALE, py * SCALE) for px, py in points], fill=ink)

    def sheet(self, rng: Generator, *, grain: float, mottle: float, glossy: bool = False) -> Sheet:
        """The sheet with its material.

        Args:
            grain, mottle: standard deviations in code values of variations of about one pixel of
                the image, and of a quarter of the sheet: fibres and dirt.
        """
        size = self._image.size
        shade = mottle * _noise(rng, size, max(size) / 4) + grain * _noise(rng, size, SCALE)
        pixels = np.asarray(self._image, np.float32) + shade[..., None]
        whole = np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)
        opacity = np.asarray(self._opacity)[..., None]
        return Sheet(np.concatenate([whole, opacity], axis=2), tuple(self._lines), glossy)


def text_width(text: str, face: Face, size: float) -> float:
    """Width of a line in pixels of the image."""
    return load_font(face, round(size * SCALE)).getlength(text) / SCALE


def size_for(text: str, face: Face, width: float, low: float, high: float) -> float:
    """Largest size of `low` to `high` at which a line is no wider than `width`; `low` if none is.

    Widths are proportional to sizes, but for hinting.
    """
    return float(np.clip(0.99 * high * width / text_width(text, face, high), low, high))


def _noise(rng: Generator, size: tuple[int, int], step: float) -> NDArray[np.float32]:
    """Noise (h, w) of standard deviation about 1 that is smooth over `step` pixels."""
    wide, high = (max(2, round(length / step) + 1) for length in size)
    coarse = rng.standard_normal((high, wide), dtype=np.float32)
    return np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))
