"""COCO instances: reading a file, and checking one down to its last polygon and run.

The format is that of https://cocodataset.org/#format-data. What pycocotools would silently take for
something else, or stop at in the middle of a run, is refused here with a name.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from icmbench.core.errors import DatasetError
from icmbench.datasets.foreign import LARGEST_ID, is_number, name_fault, read_json

LISTS: Final = ("images", "annotations", "categories")
# What pycocotools' C code is given follows the image: it allocates by the length of a polygon.
_LONGEST_SIDE: Final = 100_000  # pixels; `read_image` takes 170 megapixels
_FAR: Final = 1000.0  # pixels outside of an image, or its larger side
_LONGEST: Final = 1e6  # pixels, perimeter of a polygon


def read_instances(path: Path) -> dict[str, Any]:
    """The checked content of an instances file.

    Raises DatasetError, naming the file, where it is missing, is not JSON or does not pass
    `check_instances`.
    """
    instances = read_json(path)
    check_instances(instances, str(path))
    return dict(instances)


def check_instances(instances: Any, what: str) -> None:
    """DatasetError where a COCO instances dictionary is not one, naming the entry and the reason.

    Checked: ids are unique whole numbers; names of categories and files are unique; every image has
    a size; every annotation refers to an image and a category that exist and has a box of four
    finite numbers, an area, `iscrowd` 0 or 1, and a legal segmentation or none: polygons, or runs
    (plain or compressed) that cover its image exactly. Boxes and polygons end at most 1,000 pixels,
    or the image's larger side, outside of their image. A segmentation that is missing, null or an
    empty list is none: sets of boxes alone have those.

    Args:
        what: stands before every message, such as the file's name.
    """
    for name in LISTS:
        if not isinstance(instances, dict) or not isinstance(instances.get(name), list):
            raise DatasetError(f"{what}: not a COCO instances file: no list {name!r}")
    images = check_images(instances["images"], what)
    categories = _by_id(instances["categories"], "category", what)
    for number, category in categories.items():
        if not _is_text(category.get("name")):
            raise DatasetError(f"{what}: category {number} has no name")
        if number < 0:
            raise DatasetError(f"{what}: category {number}: ids of categories start at 0")
    _unique((c["name"] for c in categories.values()), "categories have the name", what)
    for number, annotation in _by_id(instances["annotations"], "annotation", what).items():
        if reason := _annotation_fault(annotation, images, categories):
            raise DatasetError(f"{what}: annotation {number}: {reason}")


def check_images(entries: list[Any], what: str) -> dict[int, dict[str, Any]]:
    """The list `images` of a file by id; DatasetError as in `check_instances`."""
    images = _by_id(entries, "image", what)
    for number, image in images.items():
        if reason := _image_fault(image):
            raise DatasetError(f"{what}: image {number}: {reason}")
    _unique((image["file_name"] for image in images.values()), "images have the file name", what)
    return images


def read_images(path: Path) -> dict[str, Any]:
    """The lists `images` and `licenses` of any annotation file of COCO; nothing else is checked.

    Raises DatasetError, naming the file, where it is missing, is not JSON or its images are not
    those of `check_instances`.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise DatasetError(f"{path}: not a file of COCO: no list 'images'")
    check_images(content["images"], str(path))
    return {"images": content["images"], "licenses": content.get("licenses") or []}


def _by_id(entries: list[Any], kind: str, what: str) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for position, entry in enumerate(entries):
        number = entry.get("id") if isinstance(entry, dict) else None
        # bool is an int to isinstance; above 2**53 other programs round.
        if type(number) is not int or abs(number) > LARGEST_ID:
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
    if reason := name_fault(image.get("file_name")):
        return f"file_name={reason}"
    return size_fault(image.get("height"), image.get("width"))


def size_fault(height: Any, width: Any) -> str:
    """Fault of two values as an image's size in pixels; '' if there is none."""
    for key, value in (("width", width), ("height", height)):
        if type(value) is not int or not 1 <= value <= _LONGEST_SIDE:
            return f"{key}={value!r} is not a number of pixels (1 to {_LONGEST_SIDE})"
    return ""


def _annotation_fault(
    annotation: Mapping[str, Any],
    images: Mapping[int, Mapping[str, Any]],
    categories: Mapping[int, Mapping[str, Any]],
) -> str:
    """Fault of one annotation; '' if there is none."""
    for key, known in (("image_id", images), ("category_id", categories)):
        value = annotation.get(key)
        if type(value) is not int or value not in known:
            return f"{key}={value!r} is the id of no entry of {key.removesuffix('_id')}s"
    box: Any = annotation.get("bbox")
    area: Any = annotation.get("area")
    if not (isinstance(box, list) and len(box) == 4 and all(map(is_number, box))):
        return f"bbox={box!r} is not four finite numbers"
    if box[2] < 0 or box[3] < 0:
        return f"bbox={box!r} has a negative size"
    if not is_number(area) or area < 0:
        return f"area={area!r} is not a finite number of pixels"
    crowd = annotation.get("iscrowd")
    if type(crowd) is not int or crowd not in (0, 1):
        return f"iscrowd={crowd!r} is neither 0 nor 1"
    image = images[annotation["image_id"]]
    corners = [*box[:2], box[0] + box[2], box[1] + box[3]]
    if far_outside(corners, image["height"], image["width"]):
        return f"bbox={box!r} lies far outside of its image, {image['width']}x{image['height']}"
    return segmentation_fault(annotation.get("segmentation"), image["height"], image["width"])


def far_outside(values: list[float], height: int, width: int) -> bool:
    """True if one of x, y, x, y... lies further outside of an image than its objects can."""
    margin = max(height, width, _FAR)
    return any(
        not -margin <= value <= side + margin
        for value, side in zip(values, itertools.cycle((width, height)), strict=False)
    )


def segmentation_fault(segmentation: Any, height: int, width: int) -> str:
    """Fault of the polygons or RLE of an object; '' for legal ones, and for none."""
    if segmentation is None or segmentation == []:
        return ""
    if isinstance(segmentation, list):
        for position, polygon in enumerate(segmentation):
            # pycocotools takes four numbers for a box, and an odd one for the next x.
            if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
                return f"segmentation: polygon {position} is not three or more pairs of numbers"
            if not all(map(is_number, polygon)):
                return f"segmentation: polygon {position} holds what is not a finite number"
            if far_outside(polygon, height, width):
                return (
                    f"segmentation: polygon {position} lies far outside of its image, "
                    f"{width}x{height}"
                )
            if (length := _perimeter(polygon)) > _LONGEST:
                return f"segmentation: polygon {position} is {length:.0f} pixels long"
        return ""
    if not isinstance(segmentation, dict):
        return "segmentation is neither polygons nor RLE"
    return _rle_fault(segmentation, height, width)


def _perimeter(polygon: list[float]) -> float:
    """Length of a closed polygon x, y, x, y..., in steps from pixel to pixel."""
    corners = list(zip(polygon[::2], polygon[1::2], strict=True))
    pairs = zip(corners, corners[1:] + corners[:1], strict=True)
    return sum(max(abs(b[0] - a[0]), abs(b[1] - a[1])) for a, b in pairs)


def _rle_fault(rle: Mapping[str, Any], height: int, width: int) -> str:
    size = rle.get("size")
    if size != [height, width] or any(type(side) is not int for side in size):
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
