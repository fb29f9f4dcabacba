"""Base of the jobs of one data set x codec entry x shard: codec entry, records, side files."""

from __future__ import annotations

import csv
import io
import logging
import platform
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from icmbench.codecs.registry import codec_class, define
from icmbench.codecs.specs import OperatingPoint, expand_points
from icmbench.core.devices import resolve_device
from icmbench.core.errors import MeasurementError
from icmbench.core.files import write_text
from icmbench.evaluation.codec_process import CodecProcess, Failed, Setup
from icmbench.evaluation.costs import COUNTED

log = logging.getLogger(__name__)

ENCODED = ("encoding", "image", "status", "detail", "bytes")
DECODED = ("codec", "encoding", "image", "status", "detail", "bytes", "digest", "device")
TIMING = (
    "stage", "dataset", "family", "codec", "encoding", "image", "pixels", "device", "seconds",
    "start_s", "host", "joules", "energy", "peak_mb", "gpu_mb", *COUNTED,
)  # fmt: skip
GIVE_UP_AFTER = 3  # time limits hit in a row by one encoding


@dataclass(frozen=True)
class CodecEntry:
    """A codec's entry of the configuration: one curve.

    Attributes:
        name: the entry's name; `family` in every table.
        codec: the codec's name.
        points: all points of the entry.
        setup: how its process is started.
    """

    name: str
    codec: str
    points: tuple[OperatingPoint, ...]
    setup: Setup

    def encodings(self) -> dict[str, OperatingPoint]:
        """One point per encoding, in order: an embedded codec has fewer encodings than points."""
        first: dict[str, OperatingPoint] = {}
        for point in self.points:
            first.setdefault(point.encoding, point)
        return first


def make_codec_entry(name: str, settings: Mapping[str, Any]) -> CodecEntry:
    """Make the codec entry of a configuration entry.

    Args:
        settings: `entry` (codec, points), `device`, `threads`, `limits` and `models` of the run;
            `definition` of a codec that has one; `only`, codec specs: the points of one data set.

    Raises ConfigError for wrong codecs, keys and values, and for cuda where there is none.
    """
    entry = settings["entry"]
    definition = settings.get("definition")
    codec = define(definition) if definition else codec_class(entry.get("codec", name))
    points = tuple(expand_points(codec.name, entry["points"]))
    device = settings["device"] if codec.uses_device else "cpu"
    if device == "cuda":
        resolve_device(device)  # `auto` is left to the codec process: it takes loading torch
    setup = Setup(
        codec.name,
        models=Path(settings["models"]) if settings["models"] else None,
        device=device,
        threads=settings["threads"],
        seconds=settings["limits"]["seconds_per_image"],
        # A program starts anew for every image.
        warm_up=None if definition else dict(points[0].encode + points[0].cut + points[0].decode),
        definition=definition,
    )
    entry_made = CodecEntry(name, codec.name, points, setup)
    return with_points(entry_made, settings["only"]) if "only" in settings else entry_made


def with_points(entry: CodecEntry, specs: Collection[str]) -> CodecEntry:
    """A codec entry with those of its points that have these codec specs."""
    points = tuple(point for point in entry.points if point.spec in specs)
    return replace(entry, points=points)


class Patience:
    """Counts time limits in a row per encoding, so that a codec that hangs ends in finite time."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def check(self, name: str) -> None:
        """Raise Failed where the encoding has used up its tries: it is not tried again."""
        if self._counts.get(name, 0) >= GIVE_UP_AFTER:
            text = f"not tried: {GIVE_UP_AFTER} images in a row took over the time limit"
            raise Failed("timeout", text)

    def note(self, name: str, status: str) -> None:
        """Record the outcome of one try."""
        hit = status.endswith("timeout")
        self._counts[name] = self._counts.get(name, 0) + 1 if hit else 0


def timing_row(process: CodecProcess, answer: Mapping[str, Any], pixels: int) -> dict[str, Any]:
    """The columns of a timing row that every stage shares."""
    return {
        "pixels": pixels,
        "device": process.device,
        "seconds": f"{answer['seconds']:.6f}",
        "start_s": f"{process.start_s:.3f}",
        "host": platform.node(),
        "joules": _number(answer["joules"]),
        "energy": answer["energy"],
        "peak_mb": _number(answer["peak_mb"]),
        "gpu_mb": _number(answer["gpu_mb"]),
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def count_operations(
    process: CodecProcess,
    points: Mapping[str, OperatingPoint],
    rows: Iterable[dict[str, Any]],
    *,
    decode: bool,
) -> None:
    """Add the columns `COUNTED` to the timing rows of a job; last, as the codec runs once more.

    Rows that were copied have them. A codec that fails on the image of the count has none.

    Args:
        points: by the rows' column `codec`.
        decode: count the operations of decoding, not of encoding.
    """
    known: dict[Any, Mapping[str, Any]] = {}
    for row in rows:
        if "parameters" in row:
            continue
        point = points[row["codec"]]
        keys = point.decode if decode else point.encode
        if keys not in known:
            known[keys] = _counted(process, point, decode=decode)
        row |= known[keys]


def _counted(process: CodecProcess, point: OperatingPoint, *, decode: bool) -> dict[str, Any]:
    if not process.running:
        return {}
    try:
        answer = process.call("count", point.encode + point.cut + point.decode, decode=decode)
    except Failed as failure:
        log.warning("operations of %s: %s", point.spec, failure.detail)
        return {}
    return {
        name: str(value) if isinstance(value, int) else _number(value)
        for name, value in answer.items()
    }


def write_rows(path: Path, fields: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A CSV side file; written even where there is no row."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, buffer.getvalue())


def read_rows(path: Path, fields: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV side file.

    Raises MeasurementError naming the file where it is not CSV or its columns are not `fields`.
    """
    try:
        with open(path, encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle)
            found = tuple(reader.fieldnames or ())
            rows = list(reader)
    except (csv.Error, UnicodeDecodeError) as error:
        raise MeasurementError(f"{path}: damaged: {error}") from error
    if found != tuple(fields):
        raise MeasurementError(f"{path}: columns {list(found)}, expected {list(fields)}")
    # What is too many stands under None, what is missing is None.
    if any(None in row or None in row.values() for row in rows):
        raise MeasurementError(f"{path}: damaged: a line has not the columns of the first")
    return rows
