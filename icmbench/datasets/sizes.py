"""Sizes of the images that a shard provided, kept for the job that joins the annotations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from icmbench.datasets.base import Record
from icmbench.errors import ImageError
from icmbench.files import write_json
from icmbench.images import read_image

NAME = "sizes.json"
ORIENTATION_NOTE = "EXIF orientation applied"  # of `read_image`


def write_sizes(records: Sequence[Record], folder: Path) -> None:
    """Write width and height of every usable record into a shard's folder."""
    sizes = {r.image: [r.width, r.height] for r in records if r.status == "ok"}
    write_json(folder / NAME, sizes)


def turned_text(path: Path) -> str:
    """Addition to a message about an image's size: that its EXIF orientation was applied; or ''.

    Annotations of the stored picture, as programs without orientation show it, do not fit it.
    """
    try:
        note = read_image(path)[1]
    except ImageError:
        return ""
    if ORIENTATION_NOTE not in note:
        return ""
    return (
        f" ({ORIENTATION_NOTE}: annotate the turned picture, or turn the pixels of the "
        "file and drop the tag)"
    )


def read_sizes(folder_of: Mapping[str, Path]) -> dict[str, tuple[int, int]]:
    """Image id -> width, height in pixels as decoded, sorted; without those that are not usable."""
    sizes: dict[str, tuple[int, int]] = {}
    for folder in sorted(set(folder_of.values())):
        for image_id, (width, height) in json.loads((folder / NAME).read_text("utf-8")).items():
            sizes[image_id] = (width, height)
    return {image_id: sizes[image_id] for image_id in sorted(folder_of) if image_id in sizes}
