"""Sizes of images: of those that a shard provided, and of some that a plan is made by."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from icmbench.core.errors import ImageError
from icmbench.core.files import write_json
from icmbench.datasets.base import Megapixels
from icmbench.datasets.records import Record

NAME = "sizes.json"
SAMPLE: Final = 64  # headers that a plan reads, evenly spread over the sorted files
LARGEST: Final = 8  # of the largest files, besides


def write_sizes(records: Sequence[Record], folder: Path) -> None:
    """Write width and height of every usable record into a shard's folder."""
    sizes = {r.image: [r.width, r.height] for r in records if r.status == "ok"}
    write_json(folder / NAME, sizes)


def turned_text(path: Path) -> str:
    """Addition to a message about an image's size: that its EXIF orientation was applied; or ''.

    Annotations of the stored image, as programs without orientation show it, do not fit it.
    """
    from icmbench.core.images.image_files import ORIENTATION_NOTE, read_image

    try:
        note = read_image(path)[1]
    except ImageError:
        return ""
    if ORIENTATION_NOTE not in note:
        return ""
    return (
        f" ({ORIENTATION_NOTE}: annotate the rotated image, or turn the pixels of the "
        "file and drop the tag)"
    )


def read_sizes(folder_of: Mapping[str, Path]) -> dict[str, tuple[int, int]]:
    """Image id -> width, height in pixels as decoded, sorted; without those that are not usable."""
    sizes: dict[str, tuple[int, int]] = {}
    for folder in sorted(set(folder_of.values())):
        for image_id, (width, height) in json.loads((folder / NAME).read_text("utf-8")).items():
            sizes[image_id] = (width, height)
    return {image_id: sizes[image_id] for image_id in sorted(folder_of) if image_id in sizes}


def sampled_megapixels(files: Sequence[Path]) -> Megapixels | None:
    """Mean of `SAMPLE` files, the largest of these and of the `LARGEST` files by bytes.

    So few headers are read however many files there are, and the same ones every time. None where
    no header can be read: no file is there, or all are of a format that Pillow does not know.
    """
    step = max(1, -(-len(files) // SAMPLE))
    spread = _known(files[::step])
    heavy = sorted((path for path in files if path.is_file()), key=lambda path: path.stat().st_size)
    largest = spread + _known(heavy[-LARGEST:])
    if not largest:
        return None
    return Megapixels(sum(spread or largest) / len(spread or largest), max(largest))


def _known(files: Sequence[Path]) -> list[float]:
    """10^6 pixels of every file whose header Pillow reads."""
    from PIL import Image as PillowImage

    found = []
    for path in files:
        try:
            with warnings.catch_warnings(action="ignore"), PillowImage.open(path) as image:
                found.append(image.width * image.height / 1e6)
        except (OSError, ValueError, SyntaxError, PillowImage.DecompressionBombError):
            continue  # the job that provides the image says what is wrong with it
    return found
