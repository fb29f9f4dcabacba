"""Lists of training images: what a training needs to know of files that it has not read yet."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from icmbench.core.errors import DatasetError
from icmbench.core.images.image_files import pixel_sha256, read_image
from icmbench.datasets.kodak import PIXELS
from icmbench.datasets.photos import PHOTOS
from icmbench.datasets.records import Record, read_records

# sha256 of the pixels of what is for testing only, and its name.
TEST_PIXELS: Final = {
    **{digest: f"{name} of kodak" for name, digest in PIXELS.items()},
    **{photo.sha256: f"{name} of photos" for name, photo in PHOTOS.items()},
}

UNTAGGED: Final = "-"  # in a list: no classifier was asked
JOINED: Final = "|"  # between tags


@dataclass(frozen=True)
class TrainingRecord(Record):
    """One row of the list of a training set: that of a manifest, and the image's pixels.

    Attributes:
        pixels: sha256 of shape and pixels (`pixel_sha256`); '' where the image is not usable.
        tags: what a classifier finds in the image, joined by `JOINED`, or `UNTAGGED`.
    """

    pixels: str = ""
    tags: str = UNTAGGED


def training_record(record: Record, path: Path) -> TrainingRecord:
    """The record of a training image with size and digest of its pixels; reads its file `path`.

    A record that is not usable stays so. Raises as `refuse_test_image`, and ImageError for a file
    that is no image.
    """
    values = {field.name: getattr(record, field.name) for field in dataclasses.fields(Record)}
    if record.status != "ok":
        return TrainingRecord(**values)
    image, _ = read_image(path)
    digest = pixel_sha256(image)
    refuse_test_image(path, digest)
    height, width = image.shape[:2]
    return TrainingRecord(**{**values, "width": width, "height": height}, pixels=digest)


def refuse_test_image(path: Path, digest: str) -> None:
    """DatasetError where the pixels of a file are those of an image of a test set.

    A changed copy, such as a smaller one, is not detected.
    """
    if digest in TEST_PIXELS:
        raise DatasetError(
            f"training data: {path} is {TEST_PIXELS[digest]}: for testing only; remove it "
            "from the training data"
        )


def read_training_records(path: Path) -> list[TrainingRecord]:
    """The usable records of a list that `write_records` wrote of training records.

    Raises DatasetError for another list, and where a record lacks its pixels' digest.
    """
    good = [record for record in read_records(path, TrainingRecord) if record.status == "ok"]
    for record in good:
        if not record.pixels:
            raise DatasetError(
                f"{path}: image {record.image!r} has no digest of its pixels; remove the list, "
                "and the run writes it anew"
            )
    return good
