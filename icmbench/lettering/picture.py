"""A photograph with sheets of text in it, and the exact boxes of all lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from icmbench.core.errors import DatasetError
from icmbench.lettering import pages, signs
from icmbench.lettering.board import SCALE, Sheet
from icmbench.lettering.fonts import Face
from icmbench.lettering.words import pick, whole
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
    sides,
    tilted,
)

Floats = NDArray[np.float64]
Draw = Callable[[Generator, float, float], Sheet]
Span = tuple[float, float]

SMALLEST: Final = 10.0  # pixels of the image: em of the smallest text, after perspective
NARROWEST: Final = 0.8  # width of a text after perspective, relative to its height
MARGIN: Final = 4.0  # pixels around lines, and around sheets that stand apart
EDGE: Final = 5.0  # pixels between a line and the sides of its sheet, a frame of which is inside
TRIES: Final = 40  # of places, each tilted less than the one before
UPRIGHT: Final = 360  # further ones of a sheet that has to be there, without tilt


@dataclass(frozen=True)
class Kind:
    """A kind of sheets.

    Attributes:
        draw: the sheet of a width and a height in pixels of the image.
        wide, high: range of its size, relative to the image's.
        yaw, pitch, roll: largest angles in degrees.
        inside: the whole sheet lies in the image; otherwise its lines do.
    """

    draw: Draw
    wide: Span
    high: Span
    yaw: float = 28.0
    pitch: float = 12.0
    roll: float = 5.0
    inside: bool = True


KINDS: Final[dict[str, Kind]] = {
    "letter": Kind(pages.letter, (0.86, 1.04), (0.9, 1.15), 16, 20, 9, inside=False),
    "street": Kind(signs.street_sign, (0.55, 0.85), (0.2, 0.5)),
    "shop": Kind(signs.shop_sign, (0.6, 0.9), (0.24, 0.42)),
    "label": Kind(signs.label, (0.5, 0.68), (0.5, 0.85), 20, 20, 15),
    "prices": Kind(pages.price_list, (0.6, 0.9), (0.8, 1.1), 16, 16, 7, inside=False),
    "hours": Kind(pages.hours, (0.5, 0.7), (0.6, 0.86), 24, 10, 4),
    "warning": Kind(signs.warning, (0.4, 0.7), (0.22, 0.4), 26, 12, 8),
}
FURTHER: Final = ("street", "warning", "shop")  # beside another sheet, where there is room


@dataclass(frozen=True)
class TextPicture:
    """An image uint8 (H, W, 3), and its lines.

    Attributes:
        lines: `text`, and `box`, its corners [x, y] in pixels, clockwise from the top left.
        faces: of all texts.
    """

    image: NDArray[np.uint8]
    lines: list[dict[str, Any]]
    faces: frozenset[Face]


@dataclass(frozen=True)
class _Placed:
    """A sheet with its corners in the image (4, 2), and the boxes of its lines (n, 4, 2)."""

    sheet: Sheet
    corners: Floats
    boxes: Floats
    smallest: float  # em of its smallest text in pixels


def text_picture(
    photograph: NDArray[np.uint8], seed: int, image_id: str, kind: str, width: int, height: int
) -> TextPicture:
    """A part of a photograph with a sheet of a kind in it, and with others where there is room.

    Args:
        photograph: uint8 (H, W, 3), sRGB.
        kind: of `KINDS`.

    Raises DatasetError where the image is too small for a sheet with legible text.
    """
    rng = generator(seed, image_id)
    size = (width, height)
    first = _place(rng, KINDS[kind], size, [], 1.0, TRIES + UPRIGHT)
    if first is None:
        raise DatasetError(
            f"image {image_id}: no place for the sheet {kind!r} in {width}x{height} pixels: give a "
            "larger width or height"
        )
    placed = [first]
    for _ in range(whole(rng, 0, 2) if KINDS[kind].inside else 0):
        found = _place(
            rng, KINDS[pick(rng, FURTHER)], size, [p.corners for p in placed], 0.7, TRIES
        )
        placed += [found] if found else []
    canvas = backdrop(photograph, width, height, rng, defocus=rng.uniform(0, 1.2))
    for each in placed:
        glare = 0.12 if each.sheet.glossy else 0.0
        light = light_near(canvas, each.corners, rng, glare=glare, slope=0.25)
        blur = min(0.9, 0.05 * each.smallest) * rng.uniform(0.6, 1)
        shadow = rng.uniform(0.2, 0.5)
        canvas = paste(canvas, each.sheet.pixels, each.corners, light, blur=blur, shadow=shadow)
    image = develop(canvas, rng, noise=rng.uniform(0.8, 2.5))
    lines = [
        {"text": line.text, "box": box.round(3).tolist()}
        for each in placed
        for line, box in zip(each.sheet.lines, each.boxes, strict=True)
    ]
    faces = frozenset(line.face for each in placed for line in each.sheet.lines)
    return TextPicture(image, lines, faces)


def _place(
    rng: Generator,
    kind: Kind,
    size: tuple[int, int],
    others: list[Floats],
    share: float,
    tries: int,
) -> _Placed | None:
    """A sheet at a place where its text is legible and inside of the image, or None.

    Every try has other texts. `share` scales the size of the sheet.
    """
    for attempt in range(tries):
        bent = max(1 - attempt / TRIES, 0.0)
        wide, high = (
            share * rng.uniform(*span) * length
            for span, length in zip((kind.wide, kind.high), size, strict=True)
        )
        sheet = kind.draw(rng, wide, high)
        yaw, pitch, roll = (
            bent * rng.uniform(-most, most) for most in (kind.yaw, kind.pitch, kind.roll)
        )
        tilt = Tilt(yaw, pitch, roll, rng.uniform(1.3, 2.5))
        centre = np.multiply(size, 0.5)
        if kind.inside:
            centre = rng.uniform(0.25, 0.75, 2) * size
        corners = tilted(sheet.size, centre.tolist(), 1 / SCALE, tilt)
        found = _checked(sheet, corners)
        if found and _inside(found, kind, size, others):
            return found
    return None


def _checked(sheet: Sheet, corners: Floats) -> _Placed | None:
    """The sheet at a place; None where a line is not legible there, or too wide for the sheet."""
    for line in sheet.lines:
        if min(line.box[0, 0], sheet.size[0] - line.box[1, 0]) < EDGE * SCALE:
            return None
    matrix = homography(outline(sheet.size), corners)
    boxes = np.array([project(matrix, line.box) for line in sheet.lines])
    smallest = np.inf
    for line, box in zip(sheet.lines, boxes, strict=True):
        wide, high = (line.box[2] - line.box[0]).tolist()
        top, right, bottom, left = sides(box).tolist()
        across, along = (top + bottom) / 2 / wide, (left + right) / 2 / high
        smallest = min(smallest, line.size * SCALE * along)
        if across < NARROWEST * along:
            return None
    return _Placed(sheet, corners, boxes, smallest) if smallest >= SMALLEST else None


def _inside(found: _Placed, kind: Kind, size: tuple[int, int], others: list[Floats]) -> bool:
    if kind.inside:
        return fits(found.corners, others, size, MARGIN)
    points = found.boxes.reshape(-1, 2)
    return bool((points >= MARGIN).all() and (points <= np.subtract(size, MARGIN)).all())
