"""This machine's pictures, for a comparison: those that a run has kept, or decoded once more."""

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
class Pictures:
    """An open archive of pictures, and where it is from, for messages."""

    source: zipfile.ZipFile
    place: str


@contextlib.contextmanager
def pictures_here(
    results: Path, unit: Unit, family: CodecEntry, wanted: Collection[tuple[str, str]]
) -> Iterator[Pictures]:
    """An archive that has the pictures of pairs of codec string and image of a unit.

    Reconstructions are temporary; where they are gone, the streams are decoded as the run did it.
    """
    kept = results / unit.member("reconstructions", ".zip")
    if kept.is_file():
        with archive.reader(kept) as source:
            yield Pictures(source, str(kept))
        return
    with tempfile.TemporaryDirectory(prefix="icmbench-") as scratch:
        pictures = _decode_again(results, unit, family, wanted, Path(scratch))
        with archive.reader(pictures) as source:
            place = (
                f"{results / unit.member('streams', '.zip')}, decoded again here (another machine "
                "than the run's, or other packages? keep_reconstructions: true keeps its pictures)"
            )
            yield Pictures(source, place)


def _decode_again(
    results: Path,
    unit: Unit,
    family: CodecEntry,
    wanted: Collection[tuple[str, str]],
    scratch: Path,
) -> Path:
    """The pictures of the points and images that are wanted, in an archive."""
    strings = {codec for codec, _ in wanted}
    points = tuple(point for point in family.points if point.spec in strings)
    encodings = {point.encoding for point in points}
    images = {image for _, image in wanted}
    rows = read_rows(results / unit.member("streams", ".csv"), ENCODED)
    chosen = [row for row in rows if row["encoding"] in encodings]
    # Streams that were decoded together must be so again: sums come out in another order.
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
    """True if a point decodes several streams at once."""
    key = point.codec.batch_key
    return key is not None and int(dict(point.decode)[key]) > 1
