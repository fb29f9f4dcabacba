"""Colours of classes, and predictions painted into images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from scipy import ndimage

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.label_maps import CLASS_COLOURS
from icmbench.tasks.base import Faces, Instances, SemanticMap

Pixels = NDArray[np.uint8]
Colour = tuple[float, float, float]

MASK: Final = 0.28  # opacity of a mask; its rim is opaque
MAP: Final = 0.6  # opacity of a semantic map
EDGE: Final = 0.35  # factor of the brightness at borders between classes
GREY: Final = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601
AROUND: Final = 0.3  # margin around faces, relative to their extent
MIN_SIDE: Final = 48  # pixels: smallest side of a crop around faces
# Classes beyond the colour list: share and value of the grey mixed in, once per round.
_ROUNDS: Final = ((0.0, 0.0), (0.5, 0.0), (0.6, 1.0))


def class_colour(index: int) -> Colour:
    """Colour of a class by its index in the data set; repeats after 36 classes."""
    share, grey = _ROUNDS[index // len(CLASS_COLOURS) % len(_ROUNDS)]
    red, green, blue = (
        (1 - share) * part + share * grey
        for part in to_rgb(CLASS_COLOURS[index % len(CLASS_COLOURS)])
    )
    return red, green, blue


def paint_masks(
    picture: Pixels, found: Instances, kept: NDArray[np.int64], colours: Sequence[Colour]
) -> Pixels:
    """Paint the masks of the instances `kept` on an image uint8 (H, W, 3), the first one on top.

    Raises MeasurementError where the size of a mask differs from the image's.
    """
    if found.masks is None:
        return picture
    from pycocotools import mask as coco_mask

    values = picture.astype(np.float64)
    for number, colour in reversed(list(zip(kept, colours, strict=True))):
        mask = coco_mask.decode(dict(found.masks[number])).astype(bool)
        if mask.shape != picture.shape[:2]:
            raise MeasurementError(f"a mask {mask.shape} on an image {picture.shape[:2]}")
        paint = 255 * np.array(colour)
        values[mask] = (1 - MASK) * picture[mask] + MASK * paint
        values[mask & ~ndimage.binary_erosion(mask)] = paint
    return _whole(values)


def paint_map(picture: Pixels, found: SemanticMap, palette: NDArray[np.float64]) -> Pixels:
    """Paint a semantic map with colours (classes, 3) on the grey image, borders darkened."""
    grey = picture.astype(np.float64) @ np.array(GREY)
    values = (1 - MAP) * grey[..., np.newaxis] + MAP * 255 * palette[found]
    border = np.zeros(found.shape, bool)
    border[:, :-1] |= found[:, 1:] != found[:, :-1]
    border[:-1] |= found[1:] != found[:-1]
    values[border] *= EDGE
    return _whole(values)


def widest_spot(region: NDArray[np.bool_]) -> tuple[int, int, float]:
    """Row and column of the pixel farthest from a region's border, and its distance in pixels."""
    inside = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(inside.argmax()), region.shape)
    return int(row), int(column), float(inside[row, column])


def around(faces: Faces, height: int, width: int) -> tuple[int, int, int, int]:
    """Crop around faces (n, 68, 2), n > 0: left, top, right, bottom."""
    points = faces.reshape(-1, 2)
    lows, highs = points.min(axis=0), points.max(axis=0)
    ends = []
    for low, high, side in zip(lows, highs, (width, height), strict=True):
        half = max((high - low) * (0.5 + AROUND), MIN_SIDE / 2)
        middle = (low + high) / 2
        start = int(np.clip(np.floor(middle - half), 0, max(0, side - MIN_SIDE)))
        stop = int(np.clip(np.ceil(middle + half), min(side, start + MIN_SIDE), side))
        ends.append((start, stop))
    return ends[0][0], ends[1][0], ends[0][1], ends[1][1]


def _whole(values: NDArray[np.float64]) -> Pixels:
    pixels: Pixels = np.rint(values).astype(np.uint8)
    return pixels
