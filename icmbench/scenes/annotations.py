"""Scenes as COCO: JSON records per image, and many records merged into one instances file."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from icmbench.core.errors import DatasetError
from icmbench.scenes.labels import CATEGORIES, CATEGORY_IDS
from icmbench.scenes.records import Face, Scene


def _keypoints(face: Face) -> list[float]:
    """COCO triplets x, y, v; v = 2 inside the frame, 0 (with x = y = 0) outside."""
    triplets: list[float] = []
    for (x, y), inside in zip(face.landmarks.tolist(), face.inside.tolist(), strict=True):
        triplets += [x, y, 2] if inside else [0, 0, 0]
    return triplets


def scene_annotations(scene: Scene, image_id: str) -> dict[str, Any]:
    """The annotations of one scene, JSON-able.

    Returns:
        image_id, width, height, `instances` (category_id, segmentation as compressed RLE with ascii
        counts, bbox x y width height, area, iscrowd, occluded) and `faces` (bbox, landmarks
        68 x [x, y], inside 68 x bool, instance: position in `instances`).
    """
    from pycocotools import mask as coco_mask  # labels are read without it

    faces = {face.instance: face for face in scene.faces}
    instances = []
    for number, item in enumerate(scene.instances):
        rle = coco_mask.encode(np.asfortranarray(item.mask, dtype=np.uint8))
        record: dict[str, Any] = {
            "category_id": item.category_id,
            "segmentation": {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")},
            "bbox": list(item.bbox),
            "area": item.area,
            "iscrowd": item.iscrowd,
            "occluded": round(item.occluded, 6),
        }
        if number in faces:
            record["keypoints"] = _keypoints(faces[number])
            record["num_keypoints"] = int(faces[number].inside.sum())
        instances.append(record)
    height, width = scene.semantic.shape
    return {
        "image_id": image_id, "width": width, "height": height, "instances": instances,
        "faces": [{"bbox": list(face.bbox), "landmarks": face.landmarks.tolist(),
                   "inside": face.inside.tolist(), "instance": face.instance}
                  for face in scene.faces],
    }  # fmt: skip


def _categories() -> list[dict[str, Any]]:
    names = [f"p{number}" for number in range(68)]
    face = CATEGORY_IDS["face"]
    return [{**entry, "keypoints": names, "skeleton": []} if entry["id"] == face else dict(entry)
            for entry in CATEGORIES]  # fmt: skip


def merge_annotations(records: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Merge per-image records into a COCO instances dictionary and a landmarks dictionary.

    Images get ids 1.. in sorted order of image_id and the file name `<image_id>.png`, annotations
    ids 1..; the result does not depend on the order of the records. The second value maps the
    image_id of every image to its list of faces.

    Raises:
        DatasetError: two records of one image_id.
    """
    ordered = sorted(records, key=lambda record: record["image_id"])
    for first, second in pairwise(ordered):
        if first["image_id"] == second["image_id"]:
            raise DatasetError(f"two records of image {first['image_id']!r}")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_number, record in enumerate(ordered, start=1):
        images.append({"id": image_number, "image": record["image_id"],
                       "file_name": f"{record['image_id']}.png",
                       "width": record["width"], "height": record["height"]})  # fmt: skip
        for item in record["instances"]:
            annotations.append({"id": len(annotations) + 1, "image_id": image_number, **item})
    info = {"description": "icmbench scenes: procedurally rendered, exact annotations"}
    coco = {"info": info, "images": images, "annotations": annotations,
            "categories": _categories()}  # fmt: skip
    return coco, {record["image_id"]: record["faces"] for record in ordered}
