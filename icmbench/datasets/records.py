"""Records: one row per image, in a data set's manifest and in the list of a shard.

Jobs that only read lists import this and nothing of the data sets.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, overload

from icmbench.core.errors import DatasetError
from icmbench.core.files import write_text


@dataclass(frozen=True)
class Record:
    """One row of the manifest.

    Attributes:
        image: image id, unique in the data set.
        path: the file, relative to the shard's folder or absolute.
        status: `ok`, or what keeps the image from being used.
        annotation: file of its annotations, relative to the shard's folder; '' if none.
        note: conversions that reading it implied.
    """

    image: str
    path: str
    sha256: str = ""
    width: int = 0
    height: int = 0
    split: str = "test"
    annotation: str = ""
    source: str = ""
    licence: str = ""
    note: str = ""
    status: str = "ok"


AnyRecord = TypeVar("AnyRecord", bound=Record)


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


def shard_of(image_id: str, shards: int) -> int:
    """Shard of an image: the first 8 bytes of sha256(id) modulo `shards`."""
    digest = hashlib.sha256(image_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") % shards
