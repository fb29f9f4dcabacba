"""Lines of text as annotation: `Annotations.more["text"]`, image id -> list of lines.

A line has `text`, and `box`: its four corners, x and y in pixels, clockwise from the top left of
the text; 0, 0 is the top left corner of the image.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from icmbench.core.errors import DatasetError
from icmbench.datasets.foreign import is_number, read_json

TEXT: Final = "text"  # key in `Annotations.more`
SMALLEST: Final = 1.0  # area of a box in pixels


def line_fault(line: Any) -> str:
    """Fault of a line of text; '' if there is none."""
    if not isinstance(line, dict):
        return f"{line!r} is no object with text and box"
    text, box = line.get("text"), line.get("box")
    if not isinstance(text, str) or not text.strip():
        return f"text={text!r} is no text"
    if not isinstance(box, list | tuple) or len(box) != 4 or not all(map(_is_corner, box)):
        return f"box={box!r} is not four corners [x, y] in pixels"
    if hull_area(box) < SMALLEST:
        return f"box={box!r} has no area"
    return ""


def hull_area(corners: Any) -> float:
    """Area of the convex hull of corners [x, y]."""
    # Monotone chain (Andrew 1979): planning has no package for it.
    points = sorted({(float(x), float(y)) for x, y in corners})
    hull: list[tuple[float, float]] = []
    for ordered in (points, points[::-1]):
        start = len(hull)
        for point in ordered:
            while len(hull) - start >= 2 and _turn(hull[-2], hull[-1], point) <= 0:
                hull.pop()
            hull.append(point)
        hull.pop()
    shifted = hull[1:] + hull[:1]
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(hull, shifted, strict=True))) / 2


def read_lines(path: Path, image_ids: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """Lines of the images of these ids from a JSON file: image id -> list of lines.

    Raises DatasetError naming file, image and line for a malformed one, for an image without an
    entry (an empty list states that it has no text), and where no image has a line.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise DatasetError(f"{path}: not lines of text: expected an object, image id -> lines")
    content = {name.replace("/", "+"): lines for name, lines in content.items()}  # as ids are
    if missing := sorted({*image_ids} - {*content}):
        raise DatasetError(
            f"{path}: image {missing[0]} has no entry ({len(missing)} of {len(image_ids)}): give "
            "[] for an image without text"
        )
    found = {}
    for image_id in sorted(image_ids):
        lines = content[image_id]
        if not isinstance(lines, list):
            raise DatasetError(f"{path}: image {image_id}: not a list of lines")
        for number, line in enumerate(lines, start=1):
            if fault := line_fault(line):
                raise DatasetError(f"{path}: image {image_id}, line {number}: {fault}")
        found[image_id] = [{key: line[key] for key in ("text", "box")} for line in lines]
    if not any(found.values()):
        raise DatasetError(f"{path}: no image has a line of text")
    return found


def _is_corner(corner: Any) -> bool:
    return isinstance(corner, list | tuple) and len(corner) == 2 and all(map(is_number, corner))


def _turn(
    first: tuple[float, float], second: tuple[float, float], third: tuple[float, float]
) -> float:
    """Twice the signed area of a triangle."""
    return (second[0] - first[0]) * (third[1] - first[1]) - (second[1] - first[1]) * (
        third[0] - first[0]
    )
