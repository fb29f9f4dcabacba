"""Ground truth from a COCO instances dictionary, checked before anything is scored.

The format: Lin et al. 2014, *Microsoft COCO*; cocodataset.org, "Data format".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from icmbench.core.errors import TaskError
from icmbench.datasets.coco_format import segmentation_fault, size_fault


@dataclass(frozen=True)
class Objects:
    """The objects of one category in one image, in the order of the file.

    Attributes:
        boxes: float64 (n, 4), x y width height.
        crowd: bool (n,); what is found inside a crowd region is neither right nor wrong.
        masks: compressed RLE each; None: there are none.
    """

    boxes: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    masks: list[dict[str, Any]] | None


class CocoTruth:
    """The objects of chosen images.

    Attributes:
        categories: category ids, rising.
        order: columns of the images by rising COCO image id, the order of pycocotools.
        sizes: height and width per image; (0, 0) where the file does not say.
        has_masks: whether every object of these images has a mask.
        objects: by column and category id; only where there are any.
    """

    def __init__(self, images: Sequence[str], instances: Mapping[str, Any]) -> None:
        """Check the whole dictionary, keep what concerns `images`.

        Raises TaskError: an image of `images` is not in it; two entries have one id; an annotation
        belongs to no image or no category, its box is malformed, its mask is malformed or of
        another size than its image. The text names the annotation.
        """
        entries = _by_id(instances["images"], "image")
        names = {entry.get("image"): number for number, entry in entries.items()}
        if len(names) != len(entries) or len(set(images)) != len(images):
            raise TaskError("an image id stands twice in the list of images")
        for name in images:
            if name not in names:
                raise TaskError(f"image {name!r} is not in the COCO annotations")
        self.categories = sorted(_by_id(instances["categories"], "category"))
        column = {names[name]: place for place, name in enumerate(images)}
        self.order = [column[number] for number in sorted(column)]
        self.sizes = [_size(entries[names[name]]) for name in images]
        groups: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
        known = set(self.categories)
        for number, entry in _by_id(instances.get("annotations", []), "annotation").items():
            try:
                _check(entry, entries, known)
            except TaskError as error:
                raise TaskError(f"annotation {number}: {error}") from error
            if entry["image_id"] in column:
                key = column[entry["image_id"]], entry["category_id"]
                groups.setdefault(key, []).append(entry)
        self.has_masks = bool(groups) and all(
            entry.get("segmentation") for group in groups.values() for entry in group
        )
        self.objects = {key: self._objects(key[0], group) for key, group in groups.items()}

    def _objects(self, column: int, group: Sequence[Mapping[str, Any]]) -> Objects:
        masks = None
        if self.has_masks:
            masks = [_compressed(entry["segmentation"], self.sizes[column]) for entry in group]
        return Objects(
            np.array([entry["bbox"] for entry in group], np.float64),
            np.array([bool(entry.get("iscrowd", 0)) for entry in group]),
            masks,
        )

    def positives(self, images: int) -> dict[int, NDArray[np.int64]]:
        """Objects that are to be found, per image (images,), of every category that has any."""
        counts: dict[int, NDArray[np.int64]] = {}
        for (column, category), objects in self.objects.items():
            if number := int((~objects.crowd).sum()):
                counts.setdefault(category, np.zeros(images, np.int64))[column] = number
        return dict(sorted(counts.items()))


def _by_id(entries: Sequence[Mapping[str, Any]], what: str) -> dict[int, Mapping[str, Any]]:
    found: dict[int, Mapping[str, Any]] = {}
    for entry in entries:
        if "id" not in entry:
            raise TaskError(f"an entry of the COCO annotations has no id: {what} {entry}")
        if entry["id"] in found:
            raise TaskError(f"{what} {entry['id']} stands twice in the COCO annotations")
        found[entry["id"]] = entry
    return found


def _size(image: Mapping[str, Any]) -> tuple[int, int]:
    return int(image.get("height", 0)), int(image.get("width", 0))


def _check(
    entry: Mapping[str, Any], images: Mapping[int, Mapping[str, Any]], categories: set[int]
) -> None:
    """TaskError with the reason where an annotation is malformed."""
    if entry.get("image_id") not in images:
        raise TaskError(f"there is no image {entry.get('image_id')}")
    if entry.get("category_id") not in categories:
        raise TaskError(f"there is no category {entry.get('category_id')}")
    box = entry.get("bbox")
    if not (isinstance(box, list | tuple) and len(box) == 4 and all(map(_finite, box))):
        raise TaskError(f"its box is {box}; x, y, width and height are expected")
    if box[2] < 0 or box[3] < 0:
        raise TaskError(f"its box is {box}: width or height is negative")
    if segmentation := entry.get("segmentation"):
        size = _size(images[entry["image_id"]])
        if 0 in size:
            raise TaskError("it has a mask, but its image has no width and height")
        if reason := size_fault(*size) or segmentation_fault(segmentation, *size):
            raise TaskError(reason)


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _compressed(segmentation: Any, size: tuple[int, int]) -> dict[str, Any]:
    """Compressed RLE of polygons and of uncompressed RLE."""
    if isinstance(segmentation, Mapping):
        if not isinstance(segmentation["counts"], list):
            return dict(segmentation)
        rle: dict[str, Any] = coco_mask.frPyObjects(dict(segmentation), *size)
        return rle
    merged: dict[str, Any] = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
    return merged
