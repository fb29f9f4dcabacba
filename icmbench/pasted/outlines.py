"""Outlines of what is annotated in an image, for contact sheets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SCALE: Final = 2  # of the drawing, whose lines are finer than pixels of the image then
_LINES: Final = (((16, 16, 16), 9), ((0, 213, 255), 5))  # colour and width, one upon the other


def draw_outlines(image: NDArray[np.uint8], outlines: Iterable[Any]) -> NDArray[np.uint8]:
    """Draw closed outlines, each (n, 2) points x, y, on a copy of an image in twice its size."""
    height, width = image.shape[:2]
    size = (SCALE * width, SCALE * height)
    picture = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    for outline in outlines:
        points = [(SCALE * float(x), SCALE * float(y)) for x, y in outline]
        for colour, wide in _LINES:
            pen.line([*points, *points[:2]], fill=colour, width=wide, joint="curve")
    return np.asarray(picture)
