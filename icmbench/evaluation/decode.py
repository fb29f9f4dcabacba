"""The decoding job: a fresh process that gets stream files and the model folder, nothing else."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from icmbench.codecs.base import Image
from icmbench.codecs.specs import OperatingPoint
from icmbench.core.errors import MeasurementError
from icmbench.core.images.image_files import pixel_sha256
from icmbench.core.progress import progress
from icmbench.evaluation import archive
from icmbench.evaluation.codec_process import CodecProcess, Failed
from icmbench.evaluation.shard import (
    DECODED,
    ENCODED,
    TIMING,
    CodecEntry,
    Patience,
    count_operations,
    read_rows,
    timing_row,
    write_rows,
)
from icmbench.evaluation.sharing import Shared, Taken

log = logging.getLogger(__name__)


def decode_shard(
    entry: CodecEntry,
    dataset: str,
    *,
    streams: Path,
    encoded: Path,
    pictures: Path,
    status: Path,
    timing: Path,
    shared: Sequence[Shared] = (),
    compress: bool = True,
) -> None:
    """Decode every stream of a shard at every point of a codec entry.

    Each point's file is really written (for an embedded codec: after truncation) and it is that
    file's size that is reported.

    Args:
        streams, encoded: what `encode_shard` wrote.
        pictures: zip of PNGs to write, one member per codec spec and image.
        status: CSV to write, one row per codec spec and image; failed encodings too.
        timing: CSV of seconds to write.
        shared: points that earlier entries have: their reconstructions are copied.
        compress: the PNGs; False for temporary ones, which takes less time and more space.
    """
    taken = Taken(shared, "codec", DECODED)
    before = read_rows(encoded, ENCODED)
    alone = [point for point in entry.points if _batch(point) == 1]
    together = [point for point in entry.points if _batch(point) > 1]
    with (
        archive.reader(streams) as source,
        archive.create(pictures) as out,
        CodecProcess(entry.setup) as process,
        tempfile.TemporaryDirectory(prefix="icmbench-") as scratch,
    ):
        job = _Job(entry, dataset, source, out, process, Path(scratch), taken, compress)
        for coded in progress(before, desc=f"decode {entry.name}", unit="stream"):
            for point in alone:
                if point.encoding == coded["encoding"]:
                    job.decode([coded], point)
            for point in together:
                if point.encoding == coded["encoding"] and point.spec in taken:
                    job.decode([coded], point)
        for point in (point for point in together if point.spec not in taken):
            held = [coded for coded in before if coded["encoding"] == point.encoding]
            batches = [held[i : i + _batch(point)] for i in range(0, len(held), _batch(point))]
            for batch in progress(batches, desc=point.spec, unit="batch"):
                job.decode(batch, point)
        points = {point.spec: point for point in entry.points}
        count_operations(process, points, job.seconds, decode=True)
    write_rows(status, DECODED, job.rows)
    write_rows(timing, TIMING, job.seconds)


@dataclass
class _Job:
    """Decodes streams at points and keeps a row of each."""

    entry: CodecEntry
    dataset: str
    source: zipfile.ZipFile
    out: archive.Writer
    process: CodecProcess
    scratch: Path
    taken: Taken
    compress: bool
    patience: Patience = field(default_factory=Patience)
    rows: list[dict[str, Any]] = field(default_factory=list)
    seconds: list[dict[str, Any]] = field(default_factory=list)

    def decode(self, batch: Sequence[Mapping[str, str]], point: OperatingPoint) -> None:
        """Decode the streams of rows at a point, those that were coded together.

        A point that an earlier entry has is copied.
        """
        if point.spec in self.taken:
            for coded in batch:
                self._copy(coded["image"], point)
            return
        files = [self.scratch / f"stream-{n}" for n in range(len(batch))]
        good = []
        for coded, file in zip(batch, files, strict=True):
            if coded["status"] != "ok":
                self.rows.append({"codec": point.spec, "device": self.process.device, **coded})
                continue
            try:
                extract_stream(self.source, point, coded["image"], file)
                self.patience.check(point.spec)
                cut_stream(self.process, point, file)
            except MeasurementError as error:
                file.write_bytes(b"")  # nothing was there to decode
                self._failed(coded, point, file, Failed("failed", str(error)))
            except Failed as failure:
                self._failed(coded, point, file, failure)
            else:
                good.append((coded, file))
        if good:
            self._decode(good, point)

    def _copy(self, image: str, point: OperatingPoint) -> None:
        row = self.taken.row(point.spec, image)
        self.rows.append(row)
        self.seconds += self.taken.seconds(point.spec, image, self.entry.name)
        if row["status"] == "ok":
            member = archive.picture_member(point.spec, image)
            self.taken.copy(point.spec, member, self.out)

    def _decode(
        self, good: Sequence[tuple[Mapping[str, str], Path]], point: OperatingPoint
    ) -> None:
        try:
            if _batch(point) > 1:
                paths = [str(file) for _, file in good]
                answer = self.process.call(
                    "decode-batch", point.decode, images=len(good), paths=paths
                )
            else:
                answer = self.process.call("decode", point.decode, path=str(good[0][1]))
                answer["images"] = [answer["image"]]
        except Failed as failure:
            if len(good) == 1:
                self._failed(good[0][0], point, good[0][1], failure)
                return
            # One of them spoils it for all: alone, each gets a row of its own.
            log.warning("%s: %d streams one by one: %s", point.spec, len(good), failure.detail)
            for one in good:
                self._decode([one], point)
            return
        for (coded, file), image in zip(good, answer["images"], strict=True):
            self._decoded(coded, point, file, image, answer)

    def _decoded(
        self,
        coded: Mapping[str, str],
        point: OperatingPoint,
        file: Path,
        image: Image,
        answer: Mapping[str, Any],
    ) -> None:
        name = archive.picture_member(point.spec, coded["image"])
        self.out.add_image(name, image, compress=self.compress)
        place = {"dataset": self.dataset, "family": self.entry.name, "image": coded["image"]}
        what = {"stage": "decode", "codec": point.spec, "encoding": point.encoding}
        pixels = image.shape[0] * image.shape[1]
        if not point.codec.foreign:  # else a picture was read, and nothing decoded
            self.seconds.append({**place, **what, **timing_row(self.process, answer, pixels)})
        self._row(coded, point, file, {"digest": pixel_sha256(image)[:16]})

    def _failed(
        self, coded: Mapping[str, str], point: OperatingPoint, file: Path, failure: Failed
    ) -> None:
        log.warning("%s, %s: %s", point.spec, coded["image"], failure.detail)
        found = {"status": f"decode-{failure.code}", "detail": failure.detail}
        self._row(coded, point, file, found)

    def _row(
        self, coded: Mapping[str, str], point: OperatingPoint, file: Path, found: Mapping[str, str]
    ) -> None:
        row = {"codec": point.spec, "device": self.process.device, **coded, **found}
        if not point.codec.foreign:  # else the file is a reconstruction
            row["bytes"] = str(file.stat().st_size)
        self.patience.note(point.spec, row["status"])
        self.rows.append(row)


def _batch(point: OperatingPoint) -> int:
    """Number of streams that are decoded together at an operating point."""
    key = point.codec.batch_key
    return int(dict(point.decode)[key]) if key else 1


DecodeOne = Callable[[CodecEntry, Path, OperatingPoint, str], Image]
Ask = Callable[[CodecEntry, Path, OperatingPoint, str, str], dict[str, Any]]


@contextlib.contextmanager
def decoding() -> Iterator[DecodeOne]:
    """Decode single images of shards, for figures, as `decode_shard` does.

    The function that the block gets takes a codec entry, an archive of streams, an operating point
    and an image id, and returns the reconstruction; it raises as that of `asking`.
    """
    with asking() as ask:

        def decode(entry: CodecEntry, streams: Path, point: OperatingPoint, image_id: str) -> Image:
            reconstruction: Image = ask(entry, streams, point, image_id, "decode")["image"]
            return reconstruction

        yield decode


@contextlib.contextmanager
def asking() -> Iterator[Ask]:
    """Ask codec processes about single streams of shards.

    The function that the block gets takes a codec entry, an archive of streams, an operating point,
    an image id and a request of `worker.handle` about a stream, and returns its answer; it raises
    Failed where the request fails and MeasurementError for a member that is missing or damaged.
    Every entry has one fresh process for all its images, which is not warmed up.
    """
    processes: dict[str, CodecProcess] = {}
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="icmbench-"))
        file = Path(scratch) / "stream"

        def ask(
            entry: CodecEntry, streams: Path, point: OperatingPoint, image_id: str, do: str
        ) -> dict[str, Any]:
            if entry.name not in processes:
                started = CodecProcess(replace(entry.setup, warm_up=None))
                processes[entry.name] = stack.enter_context(started)
            process = processes[entry.name]
            with archive.reader(streams) as source:
                extract_stream(source, point, image_id, file)
            cut_stream(process, point, file)
            return process.call(do, point.decode, path=str(file))

        yield ask


def extract_stream(
    source: zipfile.ZipFile, point: OperatingPoint, image_id: str, file: Path
) -> None:
    """Write the stream of an image's encoding; MeasurementError where it is missing or damaged."""
    extension = point.codec.file_extension(**dict(point.encode))
    member = archive.stream_member(point.encoding, image_id, extension)
    file.write_bytes(archive.read_member(source, member))


def cut_stream(process: CodecProcess, point: OperatingPoint, file: Path) -> None:
    """Cut the file of an embedded stream to the point, by the codec's process."""
    if point.codec.cut_keys:
        file.write_bytes(process.call("truncate", point.cut, path=str(file))["stream"])
