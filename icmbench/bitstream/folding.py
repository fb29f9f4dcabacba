"""Folding of thin images, which bounds the cost of coding them by their number of pixels.

Codec networks take whole units of `unit` x `unit` pixels. Padded to units of 8 pixels, an image of
200,000 x 1 pixels has 8 times its area (units of 64 pixels: 64 times), in a stream of 19 bytes. An
image is thin if its short side is at most half a unit. A thin image with more than `MAX_PIXELS`
pixels in its units is cut along its long side into `unit // short side` strips, which are stacked
on the short side::

    0123456789ab            0123
                  becomes   4567
                            89ab

The networks then take at most `MAX_PIXELS` pixels, or about twice the number in the image. Folding
depends on the height and width of the image only. A folded image is not folded again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Image: TypeAlias = "NDArray[np.uint8]"

MAX_PIXELS: Final = 262_144  # in whole units, of images that are not folded: 512 x 512


def strips(height: int, width: int, unit: int) -> int:
    """Number of strips that an image is cut into; 1: it is not folded.

    Args:
        height, width: of the image in pixels.
        unit: side in pixels of a unit of the codec's networks; 1 never folds.
    """
    short = min(height, width)
    if 2 * short > unit or whole(height, unit) * whole(width, unit) <= MAX_PIXELS:
        return 1
    return unit // short


def coded_size(height: int, width: int, unit: int) -> tuple[int, int]:
    """Height and width in pixels of the folded image, without padding to whole units."""
    count = strips(height, width, unit)
    if height <= width:
        return height * count, -(-width // count)
    return -(-height // count), width * count


def whole(side: int, unit: int) -> int:
    """Pad a side to whole units."""
    return -(-side // unit) * unit


def padded_size(height: int, width: int, unit: int) -> tuple[int, int]:
    """Height and width of the folded image, padded to whole units."""
    height, width = coded_size(height, width, unit)
    return whole(height, unit), whole(width, unit)


def pad(image: Image, unit: int) -> Image:
    """Fold an image (H, W, 3) where it is thin and pad it by its last row and column."""
    import numpy as np

    height, width = padded_size(image.shape[0], image.shape[1], unit)
    image = fold(image, unit)
    rows, columns = height - image.shape[0], width - image.shape[1]
    return np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="edge")


def unpad(coded: Image, size: tuple[int, int], unit: int) -> Image:
    """Invert `pad`: crop the coded image and unfold it to `size` (height, width)."""
    import numpy as np

    height, width = coded_size(*size, unit)
    return unfold(np.ascontiguousarray(coded[:height, :width]), size, unit)


def fold(image: Image, unit: int) -> Image:
    """Fold a thin image (H, W, 3); any other image is returned unchanged.

    The last strip is padded with the image's last column (or row).
    """
    import numpy as np

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
    """Invert `fold`: an image of `size` (height, width) from the coded one, of `coded_size`.

    The result is contiguous where the image was folded, `coded` itself where it was not.
    """
    import numpy as np

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
    """Lines of `icmbench info` about the folding of an image; none where it is not folded."""
    count = strips(height, width, unit)
    rows, columns = coded_size(height, width, unit)
    return [("folded", f"in {count} strips, coded as {columns}x{rows}")] if count > 1 else []
