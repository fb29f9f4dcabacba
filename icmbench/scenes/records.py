"""Record of a rendered scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Instance:
    """One visible thing.

    `mask` is bool (H, W); `bbox` is x, y, width, height of exactly the mask's pixels; `area` their
    number; `occluded` the fraction of the thing, inside the frame, that others hide.
    """

    category_id: int
    mask: NDArray[np.bool_]
    bbox: Box
    area: int
    occluded: float
    iscrowd: int = 0


@dataclass(frozen=True)
class Face:
    """68 landmarks of one face in the order of the iBUG 300-W mark-up.

    `landmarks` is float32 (68, 2), x then y, continuous pixel coordinates (a pixel's centre lies at
    +0.5); left and right are the viewer's. Jaw points turned away from the viewer lie on the
    visible outline, as annotators place them. `inside` (68,) is false for points outside the frame.
    `bbox` is the tight box of the landmarks, x, y, width, height.
    """

    bbox: Box
    landmarks: NDArray[np.float32]
    inside: NDArray[np.bool_]
    instance: int


@dataclass(frozen=True)
class Scene:
    """An image uint8 (H, W, 3) sRGB with its annotations; `semantic` is uint8 (H, W)."""

    image: NDArray[np.uint8]
    instances: list[Instance]
    semantic: NDArray[np.uint8]
    faces: list[Face]


def mask_box(mask: NDArray[np.bool_]) -> Box:
    """Tight box x, y, width, height of a mask's pixels; the mask must not be empty."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    left, top = int(columns[0]), int(rows[0])
    return (float(left), float(top), float(columns[-1] + 1 - left), float(rows[-1] + 1 - top))


def landmark_box(landmarks: NDArray[np.float32]) -> Box:
    """Tight box x, y, width, height of landmarks (68, 2)."""
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    return (float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))
