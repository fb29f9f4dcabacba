"""The robustness job: damaged streams, and what each codec's decoder makes of them.

Decoders run in the codec's process with a time limit: a damaged stream may crash them or hang them.
"""

from __future__ import annotations

import dataclasses
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from icmbench.codecs.base import Codec, Image
from icmbench.codecs.specs import OperatingPoint
from icmbench.core.images.image_files import read_image
from icmbench.core.progress import progress
from icmbench.datasets.records import read_records, usable
from icmbench.evaluation import archive
from icmbench.evaluation.codec_process import CodecProcess, Failed
from icmbench.evaluation.damage import BEST_EFFORT, DAMAGES, NONE, damage_stream, draw_places
from icmbench.evaluation.shard import CodecEntry
from icmbench.metrics.picture import Picture
from icmbench.metrics.pixel import psnr_rgb

log = logging.getLogger(__name__)

COLUMNS = {
    "dataset": "str",
    "family": "str",
    "codec": "str",
    "image": "str",
    "damage": "str",
    "trial": "int64",
    "place": "float64",
    "other_place": "float64",
    "outcome": "str",
    "psnr": "float64",
    "detail": "str",
}


@dataclass(frozen=True)
class Shard:
    """Files of one shard: records (CSV), the images' folder, one codec's streams (zip)."""

    records: Path
    images: Path
    streams: Path


@dataclass(frozen=True)
class Subject:
    """An image: its id, the original, and the archive that holds its stream."""

    image: str
    original: Path
    streams: Path


@dataclass(frozen=True)
class _Whole:
    """Undamaged stream, its reconstruction, the original, and the PSNR between the two images."""

    stream: bytes
    picture: Image
    original: Image
    psnr: float


def choose_subjects(shards: Sequence[Shard], split: str, images: int) -> list[Subject]:
    """The first `images` usable images of a data set by id: the same ones for every codec."""
    found = [
        Subject(record.image, shard.images / record.path, shard.streams)
        for shard in shards
        for record in usable(read_records(shard.records), split)
    ]
    return sorted(found, key=lambda subject: subject.image)[:images]


def middle_point(entry: CodecEntry) -> OperatingPoint:
    """The point that stands for a codec entry: the middle one of its list (the lower of two)."""
    return entry.points[(len(entry.points) - 1) // 2]


def damage_trials(
    entry: CodecEntry,
    dataset: str,
    subjects: Sequence[Subject],
    *,
    trials: int,
    seed: int,
    seconds: float,
) -> pd.DataFrame:
    """Decode damaged streams of a codec entry's middle point; what comes of each is a row.

    Args:
        trials: per image and kind of damage.
        seconds: time limit of one decoding.

    Returns:
        Columns `COLUMNS`. Per image a row of damage `none` (the undamaged stream, trial 0), then
        `trials` rows per kind of damage; for a codec that can salvage, each trial once more as
        `<damage>, best effort`. `outcome` is one of `OUTCOMES`, `psnr` (dB, against the original)
        is missing where no reconstruction of the right size came out. An image of which not even
        the undamaged stream decodes has no trials.
    """
    point = middle_point(entry)
    rows: list[dict[str, Any]] = []
    with (
        CodecProcess(dataclasses.replace(entry.setup, seconds=seconds)) as process,
        tempfile.TemporaryDirectory(prefix="icmbench-") as scratch,
    ):
        decoder = _Decoder(process, point, Path(scratch) / "stream")
        for subject in progress(subjects, desc=f"damage {entry.name}", unit="image"):
            base = {"dataset": dataset, "family": entry.name, "codec": point.spec}
            base |= {"image": subject.image}
            whole, row = _undamaged(decoder, subject)
            rows.append(base | row)
            if whole is None:
                log.warning("%s, %s: not damaged: %s", point.spec, subject.image, row["detail"])
                continue
            for damage in DAMAGES:
                for trial in range(trials):
                    places = draw_places(seed, subject.image, damage, trial)
                    where = {"trial": trial, "place": places[0], "other_place": places[1]}
                    rows += [
                        base | where | result for result in _trial(decoder, whole, damage, places)
                    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


class _Decoder:
    """A point's decoder in the codec's process; streams reach it as files."""

    def __init__(self, process: CodecProcess, point: OperatingPoint, file: Path) -> None:
        self.process = process
        self.point = point
        self.file = file
        # Our own containers refuse by typed errors only; foreign decoders raise anything.
        self.strict = point.codec.codec_id is not None
        self.salvages = point.codec.salvage is not Codec.salvage
        self._shown: dict[bytes, Image] = {}

    def cut(self, stream: bytes) -> bytes:
        """The file of the point: an embedded stream is cut to it."""
        return self._stream("truncate", stream, self.point.cut) if self.point.cut else stream

    def decode(self, stream: bytes) -> Image:
        """Decode a file; Failed where that is not possible."""
        self.file.write_bytes(stream)
        image: Image = self.process.call("decode", self.point.decode, path=str(self.file))["image"]
        return image

    def salvage(self, stream: bytes) -> Image:
        """Decode the intact sections of a damaged file; Failed where there are none.

        Few different files come out of many damaged ones, so each is decoded once.
        """
        whole = self._stream("salvage", stream, ())
        if whole not in self._shown:
            self._shown[whole] = self.decode(whole)
        return self._shown[whole]

    def _stream(self, do: str, stream: bytes, keys: Sequence[tuple[str, Any]]) -> bytes:
        self.file.write_bytes(stream)
        result: bytes = self.process.call(do, keys, path=str(self.file))["stream"]
        return result


def _undamaged(decoder: _Decoder, subject: Subject) -> tuple[_Whole | None, dict[str, Any]]:
    """The undamaged stream of an image, None where there is none, and its row of the table."""
    row: dict[str, Any] = {"damage": NONE, "trial": 0, "detail": ""}
    point = decoder.point
    extension = point.codec.file_extension(**dict(point.encode))
    name = archive.stream_member(point.encoding, subject.image, extension)
    with archive.reader(subject.streams) as source:
        if name not in source.namelist():
            return None, row | {"outcome": "refused", "detail": "the image was not encoded"}
        stream = archive.read_member(source, name)
    original, _ = read_image(subject.original)
    try:
        stream = decoder.cut(stream)
        picture = decoder.decode(stream)
    except Failed as failure:
        return None, row | _failure(decoder, failure)
    if picture.shape != original.shape:
        return None, row | _wrong_size(picture)
    psnr = psnr_rgb(Picture(original), Picture(picture))
    return _Whole(stream, picture, original, psnr), row | {"outcome": "decoded_right", "psnr": psnr}


def _trial(
    decoder: _Decoder, whole: _Whole, damage: str, places: tuple[float, float]
) -> Iterator[dict[str, Any]]:
    """The row of one damaged stream, and that of its best effort where the codec can salvage."""
    damaged = damage_stream(whole.stream, damage, places)
    if damaged is None:
        return
    result = _outcome(decoder, whole, lambda: decoder.decode(damaged))
    yield {"damage": damage, **result}
    if decoder.salvages:
        # As `icmbench decode --best-effort`: only what was refused is salvaged.
        if result["outcome"] == "refused":
            result = _outcome(decoder, whole, lambda: decoder.salvage(damaged))
        yield {"damage": damage + BEST_EFFORT, **result}


def _outcome(decoder: _Decoder, whole: _Whole, decode: Callable[[], Image]) -> dict[str, Any]:
    try:
        picture = decode()
    except Failed as failure:
        return _failure(decoder, failure)
    if picture.shape != whole.original.shape:
        return _wrong_size(picture)
    if np.array_equal(picture, whole.picture):
        return {"outcome": "decoded_right", "psnr": whole.psnr, "detail": ""}
    psnr = psnr_rgb(Picture(whole.original), Picture(picture))
    return {"outcome": "decoded_wrong", "psnr": psnr, "detail": ""}


def _failure(decoder: _Decoder, failure: Failed) -> dict[str, Any]:
    escaped = failure.code == "failed" and decoder.strict and not failure.typed
    outcome = {"failed": "refused", "timeout": "hung", "crashed": "crashed"}[failure.code]
    return {"outcome": "crashed" if escaped else outcome, "detail": failure.detail}


def _wrong_size(picture: Image) -> dict[str, Any]:
    text = f"decoded to {picture.shape[1]}x{picture.shape[0]}"
    return {"outcome": "decoded_wrong", "detail": text}
