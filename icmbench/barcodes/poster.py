"""A poster with a title, a picture of simple shapes and a QR symbol."""

from __future__ import annotations

import colorsys
from typing import Final

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from icmbench.barcodes.contents import EVENTS, TOWNS, content, pick
from icmbench.barcodes.sheets import WHITE, Colour, Sheet, extent, fitted, grain
from icmbench.barcodes.symbols import make_symbol

MODULE: Final = 10  # pixels of the sheet per module of the QR symbol
_MONTHS: Final = ("March", "April", "May", "June", "September", "October")


def poster(rng: Generator) -> Sheet:
    """A poster in portrait format."""
    symbol = make_symbol("qr", content(rng, "qr"))
    side = extent(symbol, MODULE)[0]
    width = int(rng.uniform(1.5, 2.0) * side)
    height = int(rng.uniform(1.1, 1.35) * width) + side // 4
    hue = rng.random()
    dark, light = _colour(hue, 0.75, 0.35), _colour(hue + rng.uniform(-0.12, 0.12), 0.5, 0.8)
    sheet = Sheet.blank(width, height, MODULE, dark)
    _gradient(sheet.image, dark, light)
    _shapes(rng, sheet, hue)
    edge = int(0.06 * width)
    title = EVENTS[int(rng.integers(len(EVENTS)))]
    top: float = edge
    for words in title:
        size = fitted(words, width - 2 * edge, 0.17 * width, "Sans-Bold")
        sheet.write(words, edge, top, size, WHITE, "Sans-Bold")
        top += 1.12 * size
    panel = (width - edge - side, height - edge - side)
    sheet.draw.rounded_rectangle(
        (panel[0] - 8, panel[1] - 8, panel[0] + side + 7, panel[1] + side + 7), 12,
        fill=(*WHITE, 255),
    )  # fmt: skip
    sheet.stamp(symbol, *panel, MODULE)
    room = panel[0] - 2 * edge
    lines = (
        f"{rng.integers(1, 30)} {pick(rng, _MONTHS)}",
        f"{rng.integers(9, 21)}:30",
        pick(rng, TOWNS),
    )
    bottom: float = height - edge
    for words in reversed(lines):
        size = fitted(words, room, 0.075 * width, "Sans-Bold")
        sheet.write(words, edge, bottom, size, WHITE, "Sans-Bold", "ld")
        bottom -= 1.3 * size
    grain(rng, sheet.image, 0.01, (2, 2))
    return sheet


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def _gradient(image: Image.Image, top: Colour, bottom: Colour) -> None:
    """Fill an opaque sheet with a gradient from top to bottom, in place."""
    share = np.linspace(0, 1, image.height)[:, None, None]
    rows = (1 - share) * np.array(top) + share * np.array(bottom)
    field = np.broadcast_to(np.rint(rows), (image.height, image.width, 3)).astype(np.uint8)
    image.paste(Image.fromarray(field))


def _shapes(rng: Generator, sheet: Sheet, hue: float) -> None:
    """A sun and hills, or discs, half transparent."""
    width, height = sheet.size
    over = Image.new("RGBA", sheet.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(over)
    for _ in range(int(rng.integers(2, 6))):
        radius = rng.uniform(0.08, 0.3) * width
        x, y = rng.uniform(0, width), rng.uniform(0.3, 0.9) * height
        shade = _colour(hue + rng.uniform(-0.25, 0.25), 0.7, rng.uniform(0.5, 1))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*shade, 150))
    if rng.random() < 0.6:
        steps = np.linspace(0, width, 40)
        for level in (0.62, 0.78):
            wave = level + 0.06 * np.sin(steps / width * rng.uniform(4, 9) + rng.uniform(0, 6))
            hill = [(float(x), float(y)) for x, y in zip(steps, wave * height, strict=True)]
            shade = _colour(hue + 0.08, 0.8, 0.25 + 0.2 * level)
            draw.polygon([*hill, (width, height), (0, height)], fill=(*shade, 200))
    sheet.image.alpha_composite(over)
