"""Folding of thin pictures, so that coding them costs what their pixels cost.

Networks code whole units of `unit` x `unit` pixels. A picture of 200,000 x 1 pixels covers 8 times
its own area (units of 64 pixels: 64 times), in a stream of 19 bytes. A picture is thin if its short
side is at most half a unit. A thin picture whose units hold more than `MOST_PIXELS` pixels is cut
along its long side in `unit // short side` strips, which are stacked on the short side::

    0123456789ab            0123
                  becomes   4567
                            89ab

So the networks take at most `MOST_PIXELS` pixels, or about twice the picture's own. Folding depends
on the picture's height and width alone. A folded picture is not folded again.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

MOST_PIXELS: Final = 262_144  # in whole units, up to which a picture is coded as it is: 512 x 512


def strips(height: int, width: int, unit: int) -> int:
    """Number of strips that a picture is cut in; 1: it is coded as it is.

    Args:
        height, width: of the picture in pixels.
        unit: pixels of a side that the codec's networks take at once; 1 never folds.
    """
    short = min(height, width)
    if 2 * short > unit or whole(height, unit) * whole(width, unit) <= MOST_PIXELS:
        return 1
    return unit // short


def coded_size(height: int, width: int, unit: int) -> tuple[int, int]:
    """Height and width in pixels of the picture that is coded, not continued to whole units."""
    count = strips(height, width, unit)
    if height <= width:
        return height * count, -(-width // count)
    return -(-height // count), width * count


def whole(side: int, unit: int) -> int:
    """A side continued to whole units."""
    return -(-side // unit) * unit


def fold(image: Image, unit: int) -> Image:
    """The picture that is coded of an image (H, W, 3), the image itself where it is not thin.

    The last strip is continued by the image's last column (or row).
    """
    height, width = image.shape[:2]
    count = strips(height, width, unit)
    if count == 1:
        return image
    if height > width:
        return fold(image.swapaxes(0, 1), unit).swapaxes(0, 1)
    length = -(-width // count)
    padded = np.pad(image, ((0, 0), (0, count * length - width), (0, 0)), mode="edge")
    parts = padded.reshape(height, count, length, 3).swapaxes(0, 1)
    return parts.reshape(count * height, length, 3)


def unfold(coded: Image, size: tuple[int, int], unit: int) -> Image:
    """The image of `size` (height, width) whose folded picture, of `coded_size`, is given.

    Contiguous where it was folded, `coded` itself where it was not.
    """
    height, width = size
    count = strips(height, width, unit)
    if count == 1:
        return coded
    if height > width:
        turned = unfold(coded.swapaxes(0, 1), (width, height), unit)
        return np.ascontiguousarray(turned.swapaxes(0, 1))
    parts = coded.reshape(count, height, -1, 3).swapaxes(0, 1)
    return np.ascontiguousarray(parts.reshape(height, -1, 3)[:, :width])


def folding_lines(height: int, width: int, unit: int) -> list[tuple[str, str]]:
    """Lines of `icmbench info` on an image's folding; none where it is coded as it is."""
    count = strips(height, width, unit)
    rows, columns = coded_size(height, width, unit)
    return [("folded", f"in {count} strips, coded as {columns}x{rows}")] if count > 1 else []
