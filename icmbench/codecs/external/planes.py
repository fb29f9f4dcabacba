"""Planar YUV of an 8-bit RGB image, and back.

Matrices and ranges are those of ITU-T H.273 in floating point, each value rounded once. Chroma of
4:2:0 is resampled with Pillow's bicubic filter at the stated sample position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from icmbench.codecs.base import Image

Floats = NDArray[np.float64]
Samples = NDArray[np.uint8] | NDArray[np.uint16]
WEIGHTS: Final = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
GBR: Final = "gbr"
_PAD: Final = 8  # pixels that the filter may read beyond an edge


@dataclass(frozen=True)
class Yuv:
    """A planar format.

    Attributes:
        halved: chroma planes have half the size (4:2:0), not that of the luma plane (4:4:4).
        bits: per sample; more than 8 are stored in two bytes, little-endian.
        matrix: bt601, bt709, bt2020 or gbr.
        full: full range, not limited range.
        chroma: position of the chroma samples of 4:2:0: left, center or topleft.
    """

    halved: bool
    bits: int
    matrix: str
    full: bool
    chroma: str

    def shapes(self, width: int, height: int) -> list[tuple[int, int]]:
        """Shapes of the three planes of a picture."""
        small = (-(-height // 2), -(-width // 2)) if self.halved else (height, width)
        return [(height, width), small, small]

    @property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        """Type of a stored sample."""
        return np.dtype(np.uint8) if self.bits == 8 else np.dtype("<u2")


def to_planes(image: Image, yuv: Yuv) -> list[Samples]:
    """Convert an image, of even size where chroma is halved, to its three planes."""
    red, green, blue = (image[..., channel] / 255.0 for channel in range(3))
    if yuv.matrix == GBR:
        return [_stored(_luma(plane, yuv), yuv) for plane in (green, blue, red)]
    k_red, k_blue = WEIGHTS[yuv.matrix]
    luma = k_red * red + (1 - k_red - k_blue) * green + k_blue * blue
    differences = [(blue - luma) / (2 - 2 * k_blue), (red - luma) / (2 - 2 * k_red)]
    if yuv.halved:
        differences = [_halve(plane, yuv.chroma) for plane in differences]
    scale, middle = _chroma_scale(yuv), 1 << (yuv.bits - 1)
    chroma = [_stored(plane * scale + middle, yuv) for plane in differences]
    return [_stored(_luma(luma, yuv), yuv), *chroma]


def from_planes(planes: Sequence[Samples], yuv: Yuv) -> Image:
    """Convert three planes to an image."""
    low, scale = _luma_range(yuv)
    first, second, third = (plane.astype(np.float64) for plane in planes)
    luma = (first - low) / scale
    if yuv.matrix == GBR:
        green, blue, red = luma, (second - low) / scale, (third - low) / scale
    else:
        middle, wide = 1 << (yuv.bits - 1), _chroma_scale(yuv)
        differences = [(plane - middle) / wide for plane in (second, third)]
        if yuv.halved:
            height, width = luma.shape
            differences = [_double(plane, yuv.chroma)[:height, :width] for plane in differences]
        k_red, k_blue = WEIGHTS[yuv.matrix]
        blue = luma + (2 - 2 * k_blue) * differences[0]
        red = luma + (2 - 2 * k_red) * differences[1]
        green = (luma - k_red * red - k_blue * blue) / (1 - k_red - k_blue)
    image = np.stack([red, green, blue], axis=-1)
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)


def _luma_range(yuv: Yuv) -> tuple[float, float]:
    """Sample values of black, and from black to white."""
    step = 1 << (yuv.bits - 8)
    return (0, (1 << yuv.bits) - 1) if yuv.full else (16 * step, 219 * step)


def _luma(plane: Floats, yuv: Yuv) -> Floats:
    low, scale = _luma_range(yuv)
    return plane * scale + low


def _chroma_scale(yuv: Yuv) -> float:
    return (1 << yuv.bits) - 1 if yuv.full else 224 * (1 << (yuv.bits - 8))


def _stored(plane: Floats, yuv: Yuv) -> Samples:
    whole = np.clip(np.rint(plane), 0, (1 << yuv.bits) - 1)
    return whole.astype(np.uint8) if yuv.bits == 8 else whole.astype("<u2")


def _offsets(chroma: str) -> tuple[float, float]:
    """Distance of a chroma sample from the middle of its four luma pixels: right, down."""
    return -0.5 if chroma in ("left", "topleft") else 0.0, -0.5 if chroma == "topleft" else 0.0


def _halve(plane: Floats, chroma: str) -> Floats:
    right, down = _offsets(chroma)
    height, width = plane.shape
    box = (_PAD + right, _PAD + down, _PAD + right + width, _PAD + down + height)
    return _resampled(plane, (width // 2, height // 2), box)


def _double(plane: Floats, chroma: str) -> Floats:
    right, down = _offsets(chroma)
    height, width = plane.shape
    left, top = _PAD - right / 2, _PAD - down / 2
    return _resampled(plane, (2 * width, 2 * height), (left, top, left + width, top + height))


def _resampled(
    plane: Floats, size: tuple[int, int], box: tuple[float, float, float, float]
) -> Floats:
    """Resample a box of the plane with its edges repeated `_PAD` times."""
    from PIL import Image as PillowImage

    padded = PillowImage.fromarray(np.pad(plane, _PAD, mode="edge").astype(np.float32))
    found = padded.resize(size, PillowImage.Resampling.BICUBIC, box=box)
    return np.asarray(found, np.float64)
