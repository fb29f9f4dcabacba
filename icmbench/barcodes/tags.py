"""Small sheets: price labels of shops, and tags of tools and machines."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.random import Generator

from icmbench.barcodes.contents import GOODS, OWNERS, content, number, pick
from icmbench.barcodes.sheets import INK, WHITE, Colour, Sheet, extent, fitted, grain
from icmbench.barcodes.symbols import Symbol, make_symbol

MODULE: Final = 8  # pixels of the sheet per module of an EAN-13 symbol
_GUARDS: Final = (0, 2, 46, 48, 92, 94)  # dark modules of its longer bars
_PAPERS: Final[tuple[Colour, ...]] = ((250, 250, 248), (252, 240, 160), (244, 244, 240))
_BANDS: Final[tuple[Colour, ...]] = (
    (30, 70, 130), (150, 30, 35), (20, 110, 80), (60, 60, 66), (225, 150, 20),
)  # fmt: skip
_PLATES: Final[tuple[Colour, ...]] = ((250, 250, 248), (206, 209, 212), (250, 218, 60))


def price_label(rng: Generator) -> Sheet:
    """A price label: goods, price, and an EAN-13 symbol with its digits."""
    symbol = make_symbol("ean13", content(rng, "ean13"))
    bars = int(rng.integers(22, 34))
    wide, tall = extent(symbol, MODULE, bars)
    edge = 4 * MODULE
    top = int(rng.integers(26, 34)) * MODULE
    width, height = wide + 2 * edge, top + tall + 14 * MODULE
    sheet = Sheet.blank(width, height, MODULE, pick_colour(rng, _PAPERS), 2 * MODULE)
    goods = pick(rng, GOODS)
    size = fitted(goods, 0.62 * width, 9 * MODULE, "Sans-Bold")
    sheet.write(goods, edge, 3 * MODULE, size, face="Sans-Bold")
    price = f"{rng.integers(1, 20)}.{rng.integers(0, 10)}9"
    size = fitted(price, 0.3 * width, 0.6 * top, "Sans-Bold")
    sheet.write(price, width - edge, top - 2 * MODULE, size, face="Sans-Bold", anchor="rd")
    unit = f"{rng.integers(1, 40)}.{number(rng, 2)} / kg"
    sheet.write(unit, edge, top - 4 * MODULE, 6 * MODULE, (90, 90, 90), anchor="ld")
    sheet.stamp(symbol, edge, top, MODULE, bars)
    _digits(sheet, symbol, edge, top + tall)
    grain(rng, sheet.image, 0.01, (1.5, 1.5))
    return sheet


def _digits(sheet: Sheet, symbol: Symbol, left: int, bottom: int) -> None:
    """The longer bars, and the digits below the others: one to the left, six, six."""
    first = left + 11 * MODULE
    width = (symbol.across + 18) * MODULE
    box = (left, bottom, left + width - 1, bottom + 12 * MODULE - 1)
    sheet.draw.rectangle(box, fill=(*WHITE, 255))
    for cell in _GUARDS:
        x = first + cell * MODULE
        sheet.draw.rectangle((x, bottom, x + MODULE - 1, bottom + 5 * MODULE - 1), fill=(*INK, 255))
    groups = ((symbol.text[0], -5.5), (symbol.text[1:7], 24), (symbol.text[7:], 71))
    for words, middle in groups:
        place = first + middle * MODULE
        sheet.write(words, place, bottom + MODULE, 10 * MODULE, face="SansMono", anchor="ma")


def asset_tag(rng: Generator, kind: str, layout: str) -> Sheet:
    """A tag of a tool or machine: a coloured band with its owner, a QR or Data Matrix symbol.

    Args:
        layout: of its text: `right` of the symbol, `below` it, or `none`.
    """
    symbol = make_symbol(kind, content(rng, kind))
    module = 10
    side = max(extent(symbol, module))
    edge = 2 * module
    band = int(0.2 * side)
    width = side + 2 * edge + (side if layout == "right" else 0)
    height = band + side + 2 * edge + (int(0.42 * side) if layout == "below" else 0)
    sheet = Sheet.blank(width, height, module, pick_colour(rng, _PLATES), int(0.07 * side))
    _band(rng, sheet, band, int(0.07 * side))
    sheet.stamp(symbol, edge, band + edge, module)
    left, top = side + 3 * module, band + 2 * edge
    if layout == "below":
        left, top = edge, band + edge + side
    lines = ((symbol.text.rpartition("/")[2], 0.2), (f"No. {number(rng, 5)}", 0.15))
    for line, share in () if layout == "none" else lines:
        size = fitted(line, width - edge - left, share * side, "SansMono-Bold")
        sheet.write(line, left, top, size, face="SansMono-Bold")
        top += int(1.3 * share * side)
    grain(rng, sheet.image, 0.012, (1.0, 6.0))
    return sheet


def strip(rng: Generator) -> Sheet:
    """A strip of a shelf or cable: an owner, and Code 128 with its text."""
    symbol = make_symbol("code128", content(rng, "code128"))
    bars = int(rng.integers(18, 26))
    wide, tall = extent(symbol, MODULE, bars)
    band = 12 * MODULE
    sheet = Sheet.blank(wide + 2 * MODULE, band + tall + 12 * MODULE, MODULE, WHITE, 2 * MODULE)
    _band(rng, sheet, band, 2 * MODULE)
    sheet.stamp(symbol, MODULE, band + MODULE, MODULE, bars)
    middle, bottom = sheet.size[0] / 2, sheet.size[1] - MODULE
    sheet.write(symbol.text, middle, bottom, 8 * MODULE, face="SansMono", anchor="md")
    grain(rng, sheet.image, 0.01, (1.5, 1.5))
    return sheet


def _band(rng: Generator, sheet: Sheet, height: int, radius: int) -> None:
    """A coloured band along the upper edge, with the name of an owner."""
    width, colour = sheet.size[0], pick_colour(rng, _BANDS)
    sheet.draw.rounded_rectangle((0, 0, width - 1, height), radius, fill=(*colour, 255))
    sheet.draw.rectangle((0, height // 2, width - 1, height), fill=(*colour, 255))
    owner = f"{pick(rng, OWNERS)} {rng.integers(1, 30)}".upper()
    size = fitted(owner, 0.9 * width, 0.6 * height, "Sans-Bold")
    sheet.write(owner, width / 2, height / 2, size, WHITE, "Sans-Bold", "mm")


def pick_colour(rng: Generator, colours: tuple[Colour, ...]) -> Colour:
    """One of several colours, a little lighter or darker."""
    chosen = np.array(colours[int(rng.integers(len(colours)))]) + rng.integers(-8, 5)
    red, green, blue = (int(value) for value in np.clip(chosen, 0, 255))
    return red, green, blue
