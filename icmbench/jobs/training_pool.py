"""Images of one source of the training set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from icmbench.config.training_data import make_training_set, training_records
from icmbench.core.images.image_files import read_image
from icmbench.core.progress import progress
from icmbench.datasets.manifest import provide_shard
from icmbench.datasets.records import write_records
from icmbench.training.records import JOINED, TrainingRecord, training_record


def training_pool(
    source: str,
    *,
    entry: Mapping[str, Any],
    downloads: Path | str,
    results: Path,
    records: Path,
    images: Path,
    sources: Path | str | None = None,
) -> None:
    """Provide the training images of one source; arguments as in `dataset_shard`.

    The list has the digest of every image's pixels, so that no training reads all files again.
    Raises DatasetError for an image of a test set under any file name.
    """
    dataset = make_training_set(source, entry, Path(downloads), results, sources)
    found = training_records(dataset, provide_shard(dataset, 0, 1, images))
    bar = progress(found, desc=f"{source}: pixels", unit="image")
    described = [training_record(record, images / record.path) for record in bar]
    if entry.get("class_tags"):
        described = _tagged(source, described, images)
    write_records(records, described, TrainingRecord)


def _tagged(source: str, described: Sequence[TrainingRecord], images: Path) -> list[TrainingRecord]:
    """Records with the tags of a classifier; ModelError where its package is missing."""
    from icmbench.training.class_tags import ClassTagger

    tagger, tagged = ClassTagger(), []
    for record in progress(described, desc=f"{source}: tags", unit="image"):
        if record.status == "ok":
            image, _ = read_image(images / record.path)
            record = replace(record, tags=JOINED.join(tagger(image)))
        tagged.append(record)
    return tagged
