"""Check that the parts of a rendered scene agree."""

from __future__ import annotations

import numpy as np

from icmbench.core.errors import DatasetError
from icmbench.scenes.labels import (
    CATEGORIES,
    CATEGORY_IDS,
    IGNORE,
    SEMANTIC_CLASSES,
    semantic_value,
)
from icmbench.scenes.records import Face, Instance, Scene, landmark_box, mask_box


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
