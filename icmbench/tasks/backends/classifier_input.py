"""Inputs of image classifiers: the square in the middle, resized, and squares as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from icmbench.core.errors import TaskError
from icmbench.tasks.base import Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TENSORFLOW: Final = "tensorflow-bilinear"
PILLOW: Final = ("pillow-bilinear", "pillow-bicubic")
RESAMPLING: Final = (TENSORFLOW, *PILLOW)
SMALLEST: Final = 32  # pixels: shortest side of an image that is classified


@dataclass(frozen=True)
class ClassifierInput:
    """Input that a network was evaluated with by its authors.

    Attributes:
        size: side in pixels.
        crop: side of the square in the middle, as a share of the image's shorter side.
        resample: one of `RESAMPLING`.
        mean, std: of the channels R, G, B, values 0 to 255.
    """

    size: int
    crop: float
    resample: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def centre_crop(image: Image, size: int, crop: float, resample: str) -> NDArray[np.float32]:
    """The square in the middle of an image uint8 (H, W, 3), as float32 (size, size, 3), 0 to 255.

    `tensorflow-bilinear` cuts the square out and samples it as TensorFlow 1 does: bilinearly,
    without smoothing. The others resize the image by Pillow's filter, which smooths where it
    reduces, and then cut, as torchvision and timm do.

    Raises TaskError for an image with a side below 32 pixels.
    """
    import numpy as np
    from PIL import Image as PillowImage

    height, width = image.shape[:2]
    shorter = min(height, width)
    if shorter < SMALLEST:
        raise TaskError(
            f"an image of {width}x{height} pixels is too small to be classified: each side needs "
            f"at least {SMALLEST}"
        )
    if resample == TENSORFLOW:
        side = max(1, int(crop * shorter))
        top, left = (height - side + 1) // 2, (width - side + 1) // 2
        return _sampled(image[top : top + side, left : left + side], size)
    scaled = int(size / crop + 1e-6)  # 224 / (224 / 354) is below 354
    high, wide = (int(scaled * length / shorter) for length in (height, width))
    top, left = round((high - size) / 2), round((wide - size) / 2)
    kind = {"pillow-bilinear": PillowImage.Resampling.BILINEAR,
            "pillow-bicubic": PillowImage.Resampling.BICUBIC}[resample]  # fmt: skip
    resized = np.asarray(PillowImage.fromarray(image).resize((wide, high), kind))
    return resized[top : top + size, left : left + size].astype(np.float32)


def _sampled(square: Image, size: int) -> NDArray[np.float32]:
    """Linear interpolation at the multiples of side / size, from the first pixel on."""
    import numpy as np

    side = len(square)
    places = np.arange(size, dtype=np.float32) * np.float32(side / size)
    low = places.astype(np.int64)
    high = np.minimum(low + 1, side - 1)
    share = (places - low).astype(np.float32)
    down, right = share[:, None, None], share[:, None]
    rows = square[low] * (1 - down) + square[high] * down
    return (rows[:, low] * (1 - right) + rows[:, high] * right).astype(np.float32)


def grid_crops(image: Image, size: int, grid: Sequence[int]) -> list[Image]:
    """Squares of `size` pixels, cut out in `grid` rows and columns, evenly spread, as they are.

    Raises TaskError for an image with a side below `size`.
    """
    rows, columns = grid
    height, width = image.shape[:2]
    if rows * columns and min(height, width) < size:
        raise TaskError(
            f"an image of {width}x{height} pixels has no crops of {size}x{size}: leave out `crops`"
        )
    return [
        image[top : top + size, left : left + size]
        for top in _starts(height - size, rows)
        for left in _starts(width - size, columns)
    ]


def _starts(room: int, count: int) -> list[int]:
    """First pixels of `count` crops from one end of a side to the other; of one, in its middle."""
    if count == 1:
        return [room // 2]
    return [round(room * number / (count - 1)) for number in range(count)]
