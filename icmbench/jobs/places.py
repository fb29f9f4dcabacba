"""Single images that figures are made of, with the files of their shards.

A place is a mapping that a rule gives: `dataset` and `image`, the shard's `records` and `images`,
by codec entry its `streams`, `measurements` and `predictions`, and the name of its `figure`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from icmbench.core.images.image_files import read_image
from icmbench.datasets.records import Record, find_record, read_records

Place: TypeAlias = Mapping[str, Any]


def record_of(place: Place) -> Record:
    """The record of the image, usable or not; DatasetError where there is none."""
    return find_record(read_records(Path(place["records"])), place["image"])


def image_of(place: Place) -> NDArray[np.uint8]:
    """The original: uint8 (H, W, 3)."""
    image, _ = read_image(Path(place["images"]) / record_of(place).path)
    return image


def files_of(place: Place, kind: str) -> dict[str, Path]:
    """The shard's files of a kind (`streams`, `measurements`, `predictions`), by codec entry."""
    return {name: Path(path) for name, path in place[kind].items()}
