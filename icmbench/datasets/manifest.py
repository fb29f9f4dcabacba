"""The manifest: one row per image, and one list per shard that jobs read."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

from icmbench.core.errors import DatasetError
from icmbench.core.files import write_text
from icmbench.datasets.base import Dataset, Record, shard_of

AnyRecord = TypeVar("AnyRecord", bound=Record)


def shard_ids(dataset: Dataset, shard: int, shards: int) -> list[str]:
    """Sorted ids of the images of one shard."""
    return [name for name in dataset.image_ids() if shard_of(name, shards) == shard]


def provide_shard(dataset: Dataset, shard: int, shards: int, folder: Path) -> list[Record]:
    """Provide the images of one shard in `folder`; see `Dataset.provide`."""
    folder.mkdir(parents=True, exist_ok=True)
    records = dataset.provide(shard_ids(dataset, shard, shards), folder)
    return sorted(records, key=lambda record: record.image)


def write_records(path: Path, records: Iterable[Record], kind: type[Record] = Record) -> None:
    """Write records, all of one kind, as CSV, sorted by image id."""
    buffer = io.StringIO()
    fields = [field.name for field in dataclasses.fields(kind)]
    writer = csv.DictWriter(buffer, fields, lineterminator="\n")
    writer.writeheader()
    for record in sorted(records, key=lambda record: record.image):
        writer.writerow(dataclasses.asdict(record))
    write_text(path, buffer.getvalue())


@overload
def read_records(path: Path) -> list[Record]: ...


@overload
def read_records(path: Path, kind: type[AnyRecord]) -> list[AnyRecord]: ...


def read_records(path: Path, kind: type[Record] = Record) -> Sequence[Record]:
    """Records of a CSV that `write_records` wrote, of the same kind."""
    try:
        with open(path, encoding="utf-8", newline="") as handle:
            return [_record(row, kind) for row in csv.DictReader(handle)]
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{path}: not a manifest: {error}") from error


def _record(row: dict[str, Any], kind: type[Record]) -> Record:
    return kind(**{**row, "width": int(row["width"]), "height": int(row["height"])})


def usable(records: Sequence[Record], split: str = "test") -> list[Record]:
    """The records that can be coded: of the split, with status ok."""
    return [record for record in records if record.status == "ok" and record.split == split]


def find_record(records: Sequence[Record], image_id: str) -> Record:
    """The record of an image, usable or not; DatasetError where there is none."""
    for record in records:
        if record.image == image_id:
            return record
    raise DatasetError(f"image {image_id!r} is not in its data set")
