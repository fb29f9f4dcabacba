"""Training sets in a pack: the images as they are, or smaller files of the same pixels."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from PIL import Image as PillowImage

from icmbench.core.errors import DatasetError
from icmbench.core.files import write_bytes
from icmbench.core.images.image_files import pixel_sha256, read_image
from icmbench.core.progress import progress
from icmbench.datasets.records import write_records
from icmbench.training.data import read_provided
from icmbench.training.records import TrainingRecord, read_training_records

LOSSY: Final = (".jpg", ".jpeg")  # no file without loss is smaller
BESIDE: Final = (".json", ".semantic.png")  # annotations of scenes, beside the image


def pack_source(
    records: Path, images: Path, new_records: Path, new_images: Path, *, as_it_is: bool = False
) -> None:
    """Copy a training set; the copy gives the same training data, in the same order.

    A file of WebP without loss takes the place of a larger one, but not of a JPEG file, which has
    loss. Files in full paths get short names.

    Args:
        as_it_is: keep all files of a run's own set, which are read by their names.

    Raises DatasetError for a list that is none and for an image that has changed since.
    """
    listed = read_training_records(records)
    ranks = {path: rank for rank, path in enumerate(sorted(images / r.path for r in listed))}
    new_images.mkdir(parents=True, exist_ok=True)
    copied = []
    for record in progress(listed, desc=records.parent.name, unit="image"):
        path = images / record.path
        own = not Path(record.path).is_absolute()
        stem = Path(record.path).with_suffix("") if own else Path(f"{ranks[path]:06d}")
        name = str(_copy(record, path, new_images, stem, as_it_is=own and as_it_is))
        for companion, suffix in _companions(path):
            shutil.copyfile(companion, (new_images / name).with_suffix(suffix))
        copied.append(replace(record, path=name))
    write_records(new_records, copied, TrainingRecord)
    digests = [
        read_provided([lists], [folder], smallest=1).digest
        for lists, folder in ((records, images), (new_records, new_images))
    ]
    if digests[0] != digests[1]:
        raise DatasetError(f"{records}: its images would come in another order in a pack")


def _copy(record: TrainingRecord, path: Path, folder: Path, stem: Path, *, as_it_is: bool) -> Path:
    """Copy an image, as it is or as the smallest file; returns its path below the folder."""
    data, suffix = path.read_bytes(), path.suffix.lower()
    if suffix not in LOSSY and not as_it_is:
        image, _ = read_image(path)
        buffer = io.BytesIO()
        PillowImage.fromarray(image).save(buffer, "WEBP", lossless=True, quality=100, exact=True)
        if len(buffer.getvalue()) < len(data):
            data, suffix = buffer.getvalue(), ".webp"
    name = stem.with_name(f"{stem.name}{suffix}")
    target = folder / name
    if target.exists():
        raise DatasetError(f"{path}: a second image of the name {stem}: rename it")
    write_bytes(target, data)
    if pixel_sha256(read_image(target)[0]) != record.pixels:
        raise DatasetError(
            f"{path}: its pixels have changed since the training data were listed; run the rule "
            "training_pool again"
        )
    return name


def _companions(path: Path) -> Iterator[tuple[Path, str]]:
    """Annotations beside an image, with their suffixes."""
    for suffix in BESIDE:
        companion = path.with_name(f"{path.stem}{suffix}")
        if companion.is_file():
            yield companion, suffix
