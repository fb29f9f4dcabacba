"""Tags of single training images, as a model predicted them: a row per image, by its pixels.

The digest of the pixels is the key, so that a list and its tags cannot be of different images.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from icmbench.core.errors import DatasetError
from icmbench.core.files import write_text
from icmbench.training.data import TrainingData

FIELDS: Final = ("image", "pixels", "tags")
ImageTags = Mapping[str, tuple[int, ...]]  # digest of the pixels -> ids of the tags, ascending


def write_image_tags(path: Path, rows: Iterable[tuple[str, str, Sequence[int]]]) -> None:
    """Write image id, digest of the pixels (`pixel_sha256`) and ids of the tags, sorted by id."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(FIELDS)
    for image, pixels, tags in sorted(rows):
        writer.writerow([image, pixels, " ".join(map(str, sorted(tags)))])
    write_text(path, buffer.getvalue())


def read_image_tags(paths: Iterable[Path]) -> ImageTags:
    """The tags of the images of several files; DatasetError for a file that is none of them."""
    found: dict[str, tuple[int, ...]] = {}
    for path in paths:
        try:
            with open(path, encoding="utf-8", newline="") as handle:
                for row in csv.DictReader(handle):
                    found[row["pixels"]] = tuple(int(tag) for tag in row["tags"].split())
        except (csv.Error, KeyError, TypeError, ValueError, AttributeError) as error:
            raise DatasetError(f"{path}: no tags of training images: {error!r}") from error
    return found


def tags_of_images(data: TrainingData, found: ImageTags) -> list[tuple[int, ...]]:
    """The tags of training images in their order; DatasetError for an image that has no row."""
    missing = [
        path for path, pixels in zip(data.paths, data.pixels, strict=True) if pixels not in found
    ]
    if missing:
        raise DatasetError(
            f"{missing[0]}: {len(missing)} of {len(data.paths)} training images have no tags: "
            "remove the folder training/tags of the results, and start the run again"
        )
    return [found[pixels] for pixels in data.pixels]
