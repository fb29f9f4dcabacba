"""Reconstructions of this machine, to compare with another machine's: kept, or decoded again."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from icmbench.codecs.specs import OperatingPoint
from icmbench.evaluation import archive
from icmbench.evaluation.decode import decode_shard
from icmbench.evaluation.shard import ENCODED, CodecEntry, read_rows, write_rows
from icmbench.transfer.results import Unit


@dataclass(frozen=True)
class Reconstructions:
    """An open archive of reconstructions.

    Attributes:
        source: the archive.
        place: its origin, for error messages.
    """

    source: zipfile.ZipFile
    place: str


@contextlib.contextmanager
def local_reconstructions(
    results: Path, unit: Unit, family: CodecEntry, wanted: Collection[tuple[str, str]]
) -> Iterator[Reconstructions]:
    """Open an archive with the reconstructions of a unit.

    A run deletes its reconstructions unless `keep_reconstructions` is set. If they are gone, the
    streams are decoded again with the parameters of the run.

    Args:
        wanted: pairs of codec spec and image that the archive must have.
    """
    kept = results / unit.member("reconstructions", ".zip")
    if kept.is_file():
        with archive.reader(kept) as source:
            yield Reconstructions(source, str(kept))
        return
    with tempfile.TemporaryDirectory(prefix="icmbench-") as scratch:
        pictures = _decode_streams(results, unit, family, wanted, Path(scratch))
        with archive.reader(pictures) as source:
            place = (
                f"{results / unit.member('streams', '.zip')}, decoded again here (another machine "
                "than the run's, or other packages? Set keep_reconstructions: true in the run)"
            )
            yield Reconstructions(source, place)


def _decode_streams(
    results: Path,
    unit: Unit,
    family: CodecEntry,
    wanted: Collection[tuple[str, str]],
    scratch: Path,
) -> Path:
    """Decode the wanted points and images into an archive."""
    strings = {codec for codec, _ in wanted}
    points = tuple(point for point in family.points if point.spec in strings)
    encodings = {point.encoding for point in points}
    images = {image for _, image in wanted}
    rows = read_rows(results / unit.member("streams", ".csv"), ENCODED)
    chosen = [row for row in rows if row["encoding"] in encodings]
    # Streams that were decoded in a batch are decoded in the same batch: rounding depends on it.
    if not any(map(_together, points)):
        chosen = [row for row in chosen if row["image"] in images]
    encoded = scratch / "encoded.csv"
    write_rows(encoded, ENCODED, chosen)
    pictures = scratch / "pictures.zip"
    decode_shard(
        dataclasses.replace(family, points=points),
        unit.dataset,
        streams=results / unit.member("streams", ".zip"),
        encoded=encoded,
        pictures=pictures,
        status=scratch / "decoded.csv",
        timing=scratch / "timing.csv",
    )
    return pictures


def _together(point: OperatingPoint) -> bool:
    """True where a point decodes streams in batches."""
    key = point.codec.batch_key
    return key is not None and int(dict(point.decode)[key]) > 1
