"""COCO instances: reading a file, and checking one down to its last polygon and run.

The format is that of https://cocodataset.org/#format-data. What pycocotools would silently take for
something else, or stop at in the middle of a run, is refused here with a name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from icmbench.errors import DatasetError

LISTS: Final = ("images", "annotations", "categories")
_NUMBERS: Final = {int, float}
_FAR: Final = 1e9  # pixels; NaN and infinity are not below it either


def read_instances(path: Path) -> dict[str, Any]:
    """The checked content of an instances file.

    Raises DatasetError, naming the file, where it is missing, is not JSON or does not pass
    `check_instances`.
    """
    try:
        instances = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise DatasetError(f"{path}: not JSON: {error}") from error
    check_instances(instances, str(path))
    return dict(instances)


def check_instances(instances: Any, what: str) -> None:
    """DatasetError where a COCO instances dictionary is not one, naming the entry and the reason.

    Checked: ids are unique whole numbers; names of categories and files are unique; every image has
    a size; every annotation refers to an image and a category that exist and has a box of four
    finite numbers, an area, `iscrowd` 0 or 1, and a legal segmentation or none: polygons, or runs
    (plain or compressed) that cover its image exactly. A segmentation that is missing, null or an
    empty list is none: sets of boxes alone have those.

    Args:
        what: stands before every message, such as the file's name.
    """
    for name in LISTS:
        if not isinstance(instances, dict) or not isinstance(instances.get(name), list):
            raise DatasetError(f"{what}: not a COCO instances file: no list {name!r}")
    images = _by_id(instances["images"], "image", what)
    categories = _by_id(instances["categories"], "category", what)
    for number, image in images.items():
        if reason := _image_fault(image):
            raise DatasetError(f"{what}: image {number}: {reason}")
    _unique((image["file_name"] for image in images.values()), "images have the file name", what)
    for number, category in categories.items():
        if not _is_text(category.get("name")):
            raise DatasetError(f"{what}: category {number} has no name")
        if number < 0:
            raise DatasetError(f"{what}: category {number}: ids of categories start at 0")
    _unique((c["name"] for c in categories.values()), "categories have the name", what)
    for number, annotation in _by_id(instances["annotations"], "annotation", what).items():
        if reason := _annotation_fault(annotation, images, categories):
            raise DatasetError(f"{what}: annotation {number}: {reason}")


def _by_id(entries: list[Any], kind: str, what: str) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for position, entry in enumerate(entries):
        number = entry.get("id") if isinstance(entry, dict) else None
        if type(number) is not int:  # bool is an int to isinstance
            raise DatasetError(f"{what}: {kind} at position {position}: its id is not an integer")
        if number in found:
            raise DatasetError(f"{what}: two entries have the {kind} id {number}")
        found[number] = entry
    return found


def _unique(names: Iterable[str], text: str, what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DatasetError(f"{what}: two {text} {name!r}")
        seen.add(name)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and value.isprintable()


def _image_fault(image: Mapping[str, Any]) -> str:
    name: Any = image.get("file_name")
    if not _is_text(name):
        return f"file_name={name!r} is not text"
    if Path(name).is_absolute() or ".." in Path(name).parts:
        return f"file_name={name!r} leads out of the folder of images"
    for key in ("width", "height"):
        if type(image.get(key)) is not int or image[key] < 1:
            return f"{key}={image.get(key)!r} is not a number of pixels"
    return ""


def _annotation_fault(
    annotation: Mapping[str, Any],
    images: Mapping[int, Mapping[str, Any]],
    categories: Mapping[int, Mapping[str, Any]],
) -> str:
    """What is wrong with one annotation; '' where nothing is."""
    for key, known in (("image_id", images), ("category_id", categories)):
        value = annotation.get(key)
        if type(value) is not int or value not in known:
            return f"{key}={value!r} is the id of no entry of {key.removesuffix('_id')}s"
    box: Any = annotation.get("bbox")
    area: Any = annotation.get("area")
    if not (isinstance(box, list) and len(box) == 4 and _finite(box)):
        return f"bbox={box!r} is not four finite numbers"
    if box[2] < 0 or box[3] < 0:
        return f"bbox={box!r} has a negative size"
    if not _finite([area]) or area < 0:
        return f"area={area!r} is not a finite number of pixels"
    crowd = annotation.get("iscrowd")
    if type(crowd) is not int or crowd not in (0, 1):
        return f"iscrowd={crowd!r} is neither 0 nor 1"
    image = images[annotation["image_id"]]
    return segmentation_fault(annotation.get("segmentation"), image["height"], image["width"])


def _finite(values: list[Any]) -> bool:
    return set(map(type, values)) <= _NUMBERS and all(-_FAR < value < _FAR for value in values)


def segmentation_fault(segmentation: Any, height: int, width: int) -> str:
    """What is wrong with the polygons or RLE of an object; '' for legal ones, and for none."""
    if segmentation is None or segmentation == []:
        return ""
    if isinstance(segmentation, list):
        for position, polygon in enumerate(segmentation):
            # pycocotools takes four numbers for a box, and an odd one for the next x.
            if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
                return f"segmentation: polygon {position} is not three or more pairs of numbers"
            if not _finite(polygon):
                return f"segmentation: polygon {position} holds what is not a finite number"
        return ""
    if not isinstance(segmentation, dict):
        return "segmentation is neither polygons nor RLE"
    return _rle_fault(segmentation, height, width)


def _rle_fault(rle: Mapping[str, Any], height: int, width: int) -> str:
    if rle.get("size") != [height, width]:
        return (
            f"segmentation: its RLE is of size {rle.get('size')!r}, its image of "
            f"{[height, width]} (height, width)"
        )
    counts = rle.get("counts")
    runs = decode_counts(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or any(type(run) is not int or run < 0 for run in runs):
        return "segmentation: the counts of its RLE are not run lengths"
    if sum(runs) != height * width:
        return f"segmentation: its RLE covers {sum(runs)} of {height * width} pixels"
    return ""


def decode_counts(text: str) -> list[int] | None:
    """Run lengths of compressed RLE; None where the text is not of that format.

    The format of pycocotools: groups of 5 bits from the low end, one character (48 and up) each,
    bit 5 set where another follows, sign-extended; from the fourth run on the difference to the run
    two before. pycocotools itself decodes any text, also past the end of its memory.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return None if shift else runs
