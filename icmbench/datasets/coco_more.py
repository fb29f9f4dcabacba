"""Further annotation files of COCO: captions, keypoints of persons, panoptic segments.

The formats: https://cocodataset.org/#format-data. Every reader gives JSON types by image id, as
`icmbench.datasets.base.Annotations.more` holds them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from icmbench.core.errors import DatasetError
from icmbench.datasets.coco_format import check_images
from icmbench.datasets.foreign import is_number, name_fault, read_json

Reader = Callable[[Path, Mapping[str, str]], Any]


def read_captions(path: Path, names: Mapping[str, str]) -> dict[str, list[str]]:
    """Image id -> its captions, in the order of the file.

    Args:
        names: file name of an image -> its id, of the images that are wanted.

    Raises DatasetError, naming file and annotation, for a file of another format and for images
    without a caption.
    """
    images, annotations, _ = _read(path, names)
    found: dict[str, list[str]] = {image: [] for image in images.values()}
    for number, annotation in enumerate(annotations):
        caption = annotation.get("caption")
        if not isinstance(caption, str) or not caption.strip():
            raise DatasetError(f"{path}: annotation {number}: caption={caption!r} is no text")
        if annotation.get("image_id") in images:
            found[images[annotation["image_id"]]].append(caption.strip())
    if bare := [image for image, captions in found.items() if not captions]:
        raise DatasetError(f"{path}: image {bare[0]} has no caption ({len(bare)} of {len(found)})")
    return found


def read_keypoints(path: Path, names: Mapping[str, str]) -> dict[str, Any]:
    """`keypoints`: names of the points; `persons`: image id -> annotations of its persons.

    An annotation has `bbox`, `area`, `iscrowd`, and `keypoints`: x, y, v of every point, v being 0:
    not annotated, 1: hidden, 2: visible. Raises DatasetError as `read_captions`.
    """
    images, annotations, content = _read(path, names)
    points = _points(content.get("categories"))
    if not isinstance(points, list) or not points:
        raise DatasetError(f"{path}: not keypoints: expected one category with a list `keypoints`")
    found: dict[str, list[dict[str, Any]]] = {image: [] for image in images.values()}
    keys = ("bbox", "area", "iscrowd", "keypoints")
    for number, annotation in enumerate(annotations):
        if annotation.get("image_id") not in images:
            continue
        if reason := _person_fault(annotation, len(points)):
            raise DatasetError(f"{path}: annotation {number}: {reason}")
        person = {key: annotation[key] for key in keys}
        found[images[annotation["image_id"]]].append(person)
    return {"keypoints": points, "persons": found}


def read_panoptic(path: Path, names: Mapping[str, str]) -> dict[str, Any]:
    """`categories`, and `images`: image id -> `file`, its map, and `segments` of it.

    Maps lie in a folder of the file's name without suffix, as COCO's do. The number of a pixel's
    segment is R + 256 G + 65536 B; 0 is none. Raises DatasetError as `read_captions`.
    """
    images, annotations, content = _read(path, names)
    categories = content.get("categories")
    if not isinstance(categories, list) or not all(
        isinstance(c, dict)
        and (type(c.get("id")), type(c.get("name"))) == (int, str)
        and c.get("isthing") in (0, 1)
        for c in categories
    ):
        raise DatasetError(f"{path}: not panoptic: no `categories` with id, name, isthing")
    known = {category["id"] for category in categories}
    found: dict[str, Any] = {}
    for number, annotation in enumerate(annotations):
        if annotation.get("image_id") not in images:
            continue
        if reason := _segments_fault(annotation, known):
            raise DatasetError(f"{path}: annotation {number}: {reason}")
        file = path.with_suffix("") / annotation["file_name"]
        if not file.is_file():
            raise DatasetError(f"{path}: annotation {number}: its map {file} is not there")
        keys = ("id", "category_id", "iscrowd")
        segments = [{key: each[key] for key in keys} for each in annotation["segments_info"]]
        entry = {"file": str(file.absolute()), "segments": segments}
        found[images[annotation["image_id"]]] = entry
    if bare := sorted({*images.values()} - {*found}):
        raise DatasetError(f"{path}: image {bare[0]} has no map ({len(bare)} of {len(images)})")
    kept = [{key: each[key] for key in ("id", "name", "isthing")} for each in categories]
    return {"categories": kept, "images": found}


READERS: Final[Mapping[str, Reader]] = {
    "captions": read_captions,
    "keypoints": read_keypoints,
    "panoptic": read_panoptic,
}


def _read(
    path: Path, names: Mapping[str, str]
) -> tuple[dict[int, str], list[dict[str, Any]], dict[str, Any]]:
    """Number of an image in the file -> its id, the annotations, and all content."""
    content = read_json(path)
    for key in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DatasetError(f"{path}: not a file of COCO: no list {key!r}")
    listed = check_images(content["images"], str(path))
    images = {n: names[e["file_name"]] for n, e in listed.items() if e["file_name"] in names}
    if missing := sorted({*names.values()} - {*images.values()}):
        raise DatasetError(
            f"{path}: image {missing[0]} is not listed ({len(missing)} of {len(names)})"
        )
    for number, annotation in enumerate(content["annotations"]):
        if not isinstance(annotation, dict):
            raise DatasetError(f"{path}: annotation {number}: not an object")
    return images, content["annotations"], content


def _points(categories: Any) -> Any:
    """`keypoints` of the only category; None where there are several, or none."""
    if not isinstance(categories, list) or len(categories) != 1:
        return None
    return categories[0].get("keypoints") if isinstance(categories[0], dict) else None


def _person_fault(annotation: Mapping[str, Any], points: int) -> str:
    """Fault of a person's annotation; '' if there is none."""
    box, numbers = annotation.get("bbox"), annotation.get("keypoints")
    if not (isinstance(box, list) and len(box) == 4 and all(map(is_number, box))):
        return f"bbox={box!r} is not four finite numbers"
    if annotation.get("iscrowd") not in (0, 1) or not is_number(annotation.get("area")):
        return "iscrowd or area is missing"
    if not (isinstance(numbers, list) and len(numbers) == 3 * points):
        return f"keypoints are not {points} times x, y, v"
    if not all(map(is_number, numbers)) or not {*numbers[2::3]} <= {0, 1, 2}:
        return "keypoints: a number is not finite, or a v is none of 0, 1, 2"
    return ""


def _segments_fault(annotation: Mapping[str, Any], known: set[int]) -> str:
    """Fault of the segments of an image; '' if there is none."""
    if reason := name_fault(annotation.get("file_name")):
        return f"file_name={reason}"
    segments = annotation.get("segments_info")
    if not isinstance(segments, list) or not all(isinstance(each, dict) for each in segments):
        return "no list `segments_info`"
    numbers = [each.get("id") for each in segments]
    if not all(type(n) is int and 0 < n < 1 << 24 for n in numbers) or len({*numbers}) < len(
        numbers
    ):
        return "ids of segments are not different numbers from 1 to 2^24 - 1"
    if strange := [each for each in segments if each.get("category_id") not in known]:
        return f"category_id={strange[0].get('category_id')!r} is no category"
    if any(each.get("iscrowd") not in (0, 1) for each in segments):
        return "iscrowd of a segment is neither 0 nor 1"
    return ""
