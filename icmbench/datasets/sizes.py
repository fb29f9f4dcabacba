"""Sizes of the images that a shard provided, kept for the job that joins the annotations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from icmbench.datasets.base import Record
from icmbench.files import write_json

NAME = "sizes.json"


def write_sizes(records: Sequence[Record], folder: Path) -> None:
    """Write width and height of every usable record into a shard's folder."""
    sizes = {r.image: [r.width, r.height] for r in records if r.status == "ok"}
    write_json(folder / NAME, sizes)


def read_sizes(folder_of: Mapping[str, Path]) -> dict[str, tuple[int, int]]:
    """Image id -> width, height in pixels as decoded, sorted; without those that are not usable."""
    sizes: dict[str, tuple[int, int]] = {}
    for folder in sorted(set(folder_of.values())):
        for image_id, (width, height) in json.loads((folder / NAME).read_text("utf-8")).items():
            sizes[image_id] = (width, height)
    return {image_id: sizes[image_id] for image_id in sorted(folder_of) if image_id in sizes}
