"""The side of a parcel: cardboard and tape, and a shipping label with two symbols."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

from icmbench.barcodes.contents import NAMES, STREETS, TOWNS, content, number, pick, signs
from icmbench.barcodes.sheets import INK, Colour, Sheet, Stamped, extent, grain
from icmbench.barcodes.symbols import make_symbol
from icmbench.barcodes.tags import pick_colour
from icmbench.pasted import outline

MODULE: Final = 6  # pixels of the sheet per module of the Code 128 symbol
_BOARDS: Final[tuple[Colour, ...]] = ((182, 146, 104), (196, 162, 120), (164, 128, 90))
_PAPER: Final[Colour] = (247, 246, 243)


def parcel(rng: Generator, kind: str) -> Sheet:
    """A side of a parcel with a label: Code 128, and a matrix symbol of `kind`.

    Only the label has to be in the picture.
    """
    label = _label(rng, kind)
    wide, tall = label.size
    width, height = int(wide * rng.uniform(1.35, 1.8)), int(tall * rng.uniform(1.25, 1.6))
    sheet = Sheet.blank(width, height, MODULE, pick_colour(rng, _BOARDS))
    grain(rng, sheet.image, 0.03, (1.5, 60))
    grain(rng, sheet.image, 0.02, (2, 2))
    _print_arrows(rng, sheet, wide)
    _tape(rng, sheet)
    left = int(rng.uniform(0.25, 0.75) * (width - wide))
    top = int(rng.uniform(0.3, 0.8) * (height - tall))
    shift = np.array([left, top], np.float64)
    _lay(sheet.image, label.image, left, top)
    sheet.symbols = [Stamped(each.symbol, each.corners + shift) for each in label.symbols]
    sheet.needed = outline(label.size) + shift
    return sheet


def _label(rng: Generator, kind: str) -> Sheet:
    """A shipping label: address, route, a matrix symbol, Code 128 with its text."""
    code, matrix = (make_symbol(each, content(rng, each)) for each in ("code128", kind))
    bars = int(rng.integers(24, 36))
    wide, tall = extent(code, MODULE, bars)
    edge = 3 * MODULE
    width = wide + 2 * edge
    size = int(rng.uniform(*((1.1, 1.7) if kind == "qr" else (1.4, 2.2))) * MODULE)
    side, down = extent(matrix, size)
    top = 13 * MODULE
    middle = max(down + 2 * edge, 36 * MODULE)
    height = top + middle + tall + 14 * MODULE
    label = Sheet.blank(width, height, MODULE, _PAPER, MODULE)
    draw, u = label.draw, MODULE
    label.write(pick(rng, TOWNS).upper(), edge, top / 2, 7 * u, face="Sans-Bold", anchor="lm")
    route = f"{signs(rng, 1)} {number(rng, 2)}"
    label.write(route, width - edge, top / 2, 9 * u, face="Sans-Bold", anchor="rm")
    for y in (top, top + middle):
        draw.line((0, y, width, y), fill=(*INK, 255), width=u)
    address = ("To", pick(rng, NAMES), f"{pick(rng, STREETS)} {rng.integers(1, 90)}",
               f"{number(rng, 5)} {pick(rng, TOWNS)}")  # fmt: skip
    for line, words in enumerate(address):
        label.write(words, edge, top + 3 * u + 7.5 * u * line, 5.5 * u if line else 4 * u)
    label.stamp(matrix, width - edge - side, top + (middle - down) // 2, size)
    label.stamp(code, edge, top + middle + 3 * u, MODULE, bars)
    words = " ".join(code.text[n : n + 4] for n in range(0, len(code.text), 4))
    label.write(words, width / 2, height - 2 * u, 8 * u, face="SansMono", anchor="md")
    label.symbols.reverse()  # `module` is that of Code 128
    grain(rng, label.image, 0.008, (1.5, 1.5))
    return label


def _lay(board: Image.Image, label: Image.Image, left: int, top: int) -> None:
    """Paste a label with the soft shadow of its thickness, in place."""
    shade = Image.new("L", board.size, 0)
    ImageDraw.Draw(shade).rectangle(
        (left, top, left + label.width + 4, top + label.height + 5), fill=90
    )
    shade = shade.filter(ImageFilter.GaussianBlur(4))
    board.paste(Image.new("RGBA", board.size, (40, 25, 12, 255)), (0, 0), shade)
    board.alpha_composite(label, (left, top))


def _tape(rng: Generator, sheet: Sheet) -> None:
    """A strip of adhesive tape across the board."""
    width, height = sheet.size
    strip = int(rng.uniform(0.1, 0.16) * width)
    left = int(rng.uniform(0.05, 0.95) * (width - strip))
    over = Image.new("RGBA", sheet.size, (0, 0, 0, 0))
    colour = (214, 190, 150, 110) if rng.random() < 0.6 else (120, 80, 45, 120)
    draw = ImageDraw.Draw(over)
    draw.rectangle((left, 0, left + strip, height), fill=colour)
    for x in (left, left + strip):
        draw.line((x, 0, x, height), fill=(90, 60, 30, 90), width=3)
    sheet.image.alpha_composite(over)


def _print_arrows(rng: Generator, sheet: Sheet, unit: int) -> None:
    """Two printed arrows, this side up, in a corner."""
    if rng.random() < 0.4:
        return
    ink = (70, 45, 30, 255)
    size = 0.09 * unit
    left = sheet.size[0] - 2.8 * size if rng.random() < 0.5 else 0.6 * size
    shape = np.array(
        [[0.5, 0], [1, 0.5], [0.65, 0.5], [0.65, 1.2], [0.35, 1.2], [0.35, 0.5], [0, 0.5]]
    )
    for shift in (0.0, 1.15):
        points = (shape + np.array([shift, 0.4])) * size + np.array([left, 0])
        sheet.draw.polygon([(float(x), float(y)) for x, y in points], fill=ink)
    base = 1.75 * size
    sheet.draw.rectangle((left, base, left + 2.15 * size, base + 0.1 * size), fill=ink)
