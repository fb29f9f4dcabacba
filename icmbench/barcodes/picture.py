"""A photograph with labels, tags, a parcel or a poster in it, and its symbols."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from icmbench.barcodes.contents import pick
from icmbench.barcodes.formats import FORMATS
from icmbench.barcodes.parcel import parcel
from icmbench.barcodes.poster import poster
from icmbench.barcodes.sheets import Sheet
from icmbench.barcodes.sizes import module_px
from icmbench.barcodes.tags import asset_tag, price_label, strip
from icmbench.core.errors import DatasetError
from icmbench.pasted import (
    Tilt,
    backdrop,
    develop,
    fits,
    generator,
    homography,
    light_near,
    outline,
    paste,
    project,
    tilted,
)

Floats = NDArray[np.float64]
Load = Callable[[str], NDArray[np.uint8]]

THEMES: Final = ("parcel", "poster", "shelf", "tools")
TRIES: Final = 150  # random places of a sheet; every one a little smaller
# Smallest modules in pixels at the sheet's centre, before the tilt: of bars, of matrix symbols.
LEAST: Final = 1.7
LEAST_MATRIX: Final = 2.0


@dataclass(frozen=True)
class Wanted:
    """A sheet to place.

    Attributes:
        module, least: pixels of a module of its first symbol: wanted, and at least.
        rows: shares of the picture's height between which its centre is.
        optional: it may be left out where it does not fit.
    """

    sheet: Sheet
    module: float
    least: float = LEAST
    rows: tuple[float, float] = (0.1, 0.9)
    optional: bool = False


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        image: uint8 (H, W, 3).
        codes: its symbols, as `Annotations.more["codes"]` lists them.
        photograph: name of what is behind the sheets.
    """

    image: NDArray[np.uint8]
    codes: list[dict[str, Any]]
    photograph: str


def render_picture(
    seed: int, index: int, width: int, height: int, photographs: Sequence[str], load: Load
) -> Picture:
    """Picture `index` of a seed: the same in any process and any order.

    Args:
        photographs: names, one of which is behind the sheets.
        load: the pixels of a photograph by name.

    Raises DatasetError where the picture is too small for a symbol.
    """
    rng = generator(seed, f"codes-{index}")
    theme = THEMES[index % len(THEMES)]
    name = photographs[int(rng.integers(len(photographs)))]
    canvas = backdrop(load(name), width, height, rng, share=0.75, defocus=rng.uniform(0, 1))
    codes: list[dict[str, Any]] = []
    taken: list[Floats] = []
    for wanted in _sheets(rng, theme, width / 384):
        sheet = wanted.sheet
        corners = _place(rng, wanted, taken, (width, height))
        if corners is None and wanted.optional:
            continue
        if corners is None:
            raise DatasetError(
                f"a {theme} with bar codes of {wanted.least:g} pixels a module does not fit into "
                f"{width}x{height} pixels: enlarge `width` and `height`"
            )
        taken.append(corners)
        light = light_near(canvas, corners, rng)
        blur = rng.uniform(0.3, 0.3 + min(0.1 * wanted.module, 0.5))
        canvas = paste(canvas, sheet.pixels(), corners, light, blur=blur, shadow=0.45)
        codes += _codes(sheet, corners)
    return Picture(develop(canvas, rng, noise=rng.uniform(0.8, 2.5)), codes, name)


def _sheets(rng: Generator, theme: str, scale: float) -> list[Wanted]:
    """The sheets of a theme, the largest first; `scale`: width of the picture in 384 pixels."""

    def module(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(max(high * scale, low)))))

    def matrix(kind: str, low: float, high: float, optional: bool = True) -> Wanted:
        layout = pick(rng, ("right", "below", "none"))
        size = module(low, high * (1.2 if layout == "none" else 1))
        return Wanted(asset_tag(rng, kind, layout), size, LEAST_MATRIX, optional=optional)

    if theme == "parcel":
        kind = pick(rng, ("qr", "data_matrix"))
        return [Wanted(parcel(rng, kind), module(1.8, 2.6))]
    if theme == "poster":
        first = Wanted(poster(rng), module(3.0, 5.5), LEAST_MATRIX)
        if rng.random() < 0.5:
            return [first, Wanted(strip(rng), module(1.7, 2.0), optional=True)]
        return [first, matrix("data_matrix", 2.2, 5)]
    if theme == "shelf":
        if rng.random() < 0.4:
            return [Wanted(price_label(rng), module(2.0, 2.8)), matrix("data_matrix", 2.4, 5)]
        first = Wanted(price_label(rng), module(1.7, 2.2), rows=(0.2, 0.3))
        second = Wanted(price_label(rng), module(1.7, 2.1), rows=(0.7, 0.8), optional=True)
        return [first, second, matrix("data_matrix", 2.4, 5)]
    kinds = rng.permutation(["qr", "data_matrix"]).tolist()
    large = matrix(kinds[0], 4, 6, optional=False)
    return [large, matrix(kinds[1], 3, 4.5), matrix(kinds[0], 2, 3)]


def _place(
    rng: Generator, wanted: Wanted, taken: Sequence[Floats], size: tuple[int, int]
) -> Floats | None:
    """Corners of a sheet at a free place, or None."""
    sheet = wanted.sheet
    # A reader's scan lines have to cross all bars of a linear symbol.
    lean = 0.6 if FORMATS[sheet.symbols[0].symbol.kind].linear else 1.0
    for number in range(TRIES):
        module = max(wanted.module * 0.985**number, wanted.least)
        share = lean * (1 - number / TRIES)  # upright where there is little room
        rows = wanted.rows if number < TRIES / 2 else (0.1, 0.9)
        tilt = Tilt(
            yaw=share * rng.uniform(-25, 25),
            pitch=share * rng.uniform(-18, 18),
            roll=share * float(np.clip(rng.normal(0, 7), -14, 14)),
            distance=rng.uniform(1.4, 3),
        )
        centre = (rng.uniform(0.1, 0.9) * size[0], rng.uniform(*rows) * size[1])
        corners = tilted(sheet.size, centre, module / sheet.module, tilt)
        needed = project(homography(outline(sheet.size), corners), sheet.needed)
        if fits(needed, taken, size, margin=6):
            return corners
    return None


def _codes(sheet: Sheet, corners: Floats) -> list[dict[str, Any]]:
    """Annotations of a sheet's symbols: exact corners, rounded to a thousandth of a pixel."""
    matrix = homography(outline(sheet.size), corners)
    found = []
    for stamped in sheet.symbols:
        symbol, points = stamped.symbol, project(matrix, stamped.corners)
        found.append(
            {
                "format": symbol.kind,
                "text": symbol.text,
                "corners": np.round(points, 3).tolist(),
                "module_px": round(module_px(points, symbol.across, symbol.down), 3),
            }
        )
    return found
