"""Record of a rendered scene, and the check that its parts agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import DatasetError
from icmbench.scenes.labels import (
    CATEGORIES,
    CATEGORY_IDS,
    IGNORE,
    SEMANTIC_CLASSES,
    semantic_value,
)  # fmt: skip

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


def _check_instance(number: int, item: Instance, scene: Scene) -> None:
    name = f"instance {number}"
    if item.mask.shape != scene.semantic.shape or item.mask.dtype != np.bool_:
        raise DatasetError(f"{name}: mask is not bool {scene.semantic.shape}")
    if not 1 <= item.category_id <= len(CATEGORIES):
        raise DatasetError(f"{name}: unknown category {item.category_id}")
    if not item.mask.any():
        raise DatasetError(f"{name}: empty mask")
    if item.bbox != mask_box(item.mask):
        raise DatasetError(f"{name}: box {item.bbox} is not the mask's {mask_box(item.mask)}")
    if item.area != int(item.mask.sum()):
        raise DatasetError(f"{name}: area {item.area} is not the mask's {int(item.mask.sum())}")
    if not 0 <= item.occluded < 1:
        raise DatasetError(f"{name}: occluded fraction {item.occluded} is not in [0, 1)")


def _check_face(number: int, face: Face, scene: Scene) -> None:
    name = f"face {number}"
    if face.landmarks.shape != (68, 2) or not np.isfinite(face.landmarks).all():
        raise DatasetError(f"{name}: landmarks are not 68 finite points")
    if face.bbox != landmark_box(face.landmarks):
        raise DatasetError(f"{name}: box {face.bbox} is not that of its landmarks")
    if not 0 <= face.instance < len(scene.instances):
        raise DatasetError(f"{name}: no instance {face.instance}")
    if scene.instances[face.instance].category_id != CATEGORY_IDS["face"]:
        raise DatasetError(f"{name}: instance {face.instance} is not a face")
    height, width = scene.semantic.shape
    inside = ((face.landmarks >= 0) & (face.landmarks <= (width, height))).all(axis=1)
    if not np.array_equal(inside, face.inside):
        raise DatasetError(f"{name}: landmarks outside the frame are not flagged")


def check_scene(scene: Scene) -> None:
    """Check that image, masks, boxes, areas, semantic map and landmarks agree with each other.

    Raises:
        DatasetError: naming the first instance, face or map that does not.
    """
    height, width = scene.semantic.shape
    if scene.image.shape != (height, width, 3) or scene.image.dtype != np.uint8:
        raise DatasetError(f"image {scene.image.shape} does not fit the map {(height, width)}")
    things = np.full((height, width), -1, np.int32)
    for number, item in enumerate(scene.instances):
        _check_instance(number, item, scene)
        if (things[item.mask] >= 0).any():
            raise DatasetError(f"instance {number}: mask overlaps another instance")
        things[item.mask] = semantic_value(item.category_id)
    first_thing = len(SEMANTIC_CLASSES) - len(CATEGORIES)
    known = scene.semantic[scene.semantic != IGNORE]
    if known.size and int(known.max()) >= len(SEMANTIC_CLASSES):
        raise DatasetError(f"semantic map has an unknown value {int(known.max())}")
    is_thing = (scene.semantic >= first_thing) & (scene.semantic != IGNORE)
    if not np.array_equal(np.where(is_thing, scene.semantic.astype(np.int32), -1), things):
        raise DatasetError("semantic map and instance masks differ")
    for number, face in enumerate(scene.faces):
        _check_face(number, face, scene)
