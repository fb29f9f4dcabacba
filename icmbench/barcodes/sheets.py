"""Flat sheets with symbols on them: paper, lettering, and stamping a symbol."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from icmbench.barcodes.formats import FORMATS
from icmbench.barcodes.symbols import Symbol
from icmbench.lettering.fonts import Face, font_file
from icmbench.pasted import outline

Colour = tuple[int, int, int]
Floats = NDArray[np.float64]

WHITE: Final = (250, 250, 248)
INK: Final = (22, 22, 24)


@dataclass(frozen=True)
class Stamped:
    """A symbol on a sheet: its corners (4, 2) in pixels of the sheet, without the quiet zone."""

    symbol: Symbol
    corners: Floats


@dataclass
class Sheet:
    """A sheet that is being drawn.

    Attributes:
        image: RGBA.
        module: pixels of the sheet per module of its first symbol.
        symbols: stamped so far.
        needed: corners (4, 2) of the part that has to be inside of the picture.
    """

    image: Image.Image
    module: int
    symbols: list[Stamped] = field(default_factory=list)
    needed: Floats = field(default_factory=lambda: np.zeros((4, 2)))

    @classmethod
    def blank(cls, width: int, height: int, module: int, colour: Colour, radius: int = 0) -> Sheet:
        """A sheet of one colour, with rounded corners."""
        image = Image.new("RGBA", (width, height), (*colour, 0))
        shape = (0, 0, width - 1, height - 1)
        ImageDraw.Draw(image).rounded_rectangle(shape, radius, fill=(*colour, 255))
        return cls(image, module, needed=outline((width, height)))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels of the sheet."""
        return self.image.size

    @property
    def draw(self) -> ImageDraw.ImageDraw:
        """To draw on the sheet."""
        return ImageDraw.Draw(self.image)

    def stamp(self, symbol: Symbol, left: int, top: int, module: int, bars: int = 0) -> None:
        """Print a symbol, its quiet zone on white included, with the corner at (left, top).

        Args:
            module: pixels of the sheet per module.
            bars: height of a linear symbol, in modules.
        """
        width, height = extent(symbol, module, bars)
        quiet = [module * side for side in FORMATS[symbol.kind].quiet]
        cells = np.repeat(symbol.cells, bars or 1, axis=0) if bars else symbol.cells
        dark = np.kron(cells, np.ones((module, module), np.uint8)) * np.uint8(255)
        self.draw.rectangle((left, top, left + width - 1, top + height - 1), fill=(*WHITE, 255))
        place = left + quiet[0], top + quiet[1]
        ink = Image.new("RGBA", dark.shape[::-1], (*INK, 255))
        self.image.paste(ink, place, Image.fromarray(dark))
        self.symbols.append(Stamped(symbol, outline(dark.shape[::-1]) + np.array(place)))

    def write(
        self, words: str, left: float, top: float, size: float, colour: Colour = INK,
        face: str = "Sans", anchor: str = "la",
    ) -> None:  # fmt: skip
        """Write a line of text with its anchor (Pillow's) at (left, top)."""
        self.draw.text((left, top), words, (*colour, 255), font(face, size), anchor)

    def pixels(self) -> NDArray[np.uint8]:
        """uint8 (h, w, 4)."""
        return np.asarray(self.image)


def extent(symbol: Symbol, module: int, bars: int = 0) -> tuple[int, int]:
    """Width and height of a symbol and its quiet zone in pixels of the sheet."""
    left, top, right, bottom = FORMATS[symbol.kind].quiet
    down = bars or symbol.down
    return (symbol.across + left + right) * module, (down + top + bottom) * module


@functools.lru_cache(maxsize=256)  # sizes are fitted to texts: every sheet has some of its own
def font(face: str, size: float) -> ImageFont.FreeTypeFont:
    """DejaVu, which matplotlib ships: `Sans`, `Sans-Bold`, `SansMono`, `Serif-Bold`, ...

    Raises DatasetError where matplotlib does not have it: Pillow would take a font of the system
    by that name, so that pictures depended on the machine.
    """
    path = font_file(Face(f"DejaVu{face}"))
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def fitted(words: str, width: float, size: float, face: str = "Sans") -> float:
    """The largest size up to `size` at which a text is no wider than `width`."""
    long = font(face, size).getlength(words)
    return size if long <= width else size * width / long


def grain(rng: Generator, sheet: Image.Image, strength: float, along: Sequence[float]) -> None:
    """Vary the brightness of a sheet like paper or cardboard, in place.

    Args:
        strength: standard deviation, as a share.
        along: standard deviations of the smoothing of white noise along y and x, in pixels.
    """
    from scipy.ndimage import gaussian_filter

    pixels = np.array(sheet)
    noise = gaussian_filter(rng.standard_normal(pixels.shape[:2], dtype=np.float32), along)
    gain = 1 + strength * noise / max(float(noise.std()), 1e-6)
    pixels[..., :3] = np.clip(np.rint(pixels[..., :3] * gain[..., None]), 0, 255)
    sheet.paste(Image.fromarray(pixels))
