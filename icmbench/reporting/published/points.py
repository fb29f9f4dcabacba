"""Published points as CSV files: one point of one metric a row, with its source.

`reference/published` of the repository holds the files that ship; its README says how each number
was read. Nothing here needs numpy: points are read while a run is planned.
"""

from __future__ import annotations

import csv
import functools
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from icmbench.core.errors import MeasurementError
from icmbench.core.files import write_text

FOLDER: Final = Path(__file__).parent / "points"  # linked to reference/published of the repository
REAL, ESTIMATED, NOT_STATED = BITS = ("real", "estimated", "not stated")
MAX_BPP: Final = 24.0  # of an image that is not compressed
SUFFIX: Final = ".csv"


@dataclass(frozen=True)
class Point:
    """One metric at one rate.

    Attributes:
        codec: name of the codec; unique for a data set and metric.
        dataset: name of the data set and split, such as `kodak` or `clic2020-professional`.
        bpp: bits per pixel.
        metric: a name of `icmbench metrics` where the definition is the same, else another; of a
            task `<metric>:<model>`.
        value: mean over the images of the data set; of a task over all images together.
        source: repository and path, or thread.
        how_read: origin of the number; after `; ` a deviation from our definition.
        bits: of files (`real`), of an entropy (`estimated`), or `not stated`.
    """

    codec: str
    dataset: str
    bpp: float
    metric: str
    value: float
    source: str
    how_read: str
    bits: str

    @property
    def deviation(self) -> str:
        """Deviation of the metric from our definition; empty for none."""
        return deviation(self.how_read)


COLUMNS: Final = tuple(field.name for field in fields(Point))


def deviation(how_read: str) -> str:
    """The part of `how_read` that states a deviation from our definition of the metric."""
    return how_read.partition("; ")[2]


def shipped() -> list[Path]:
    """The CSV files that ship, sorted; MeasurementError where the installation lacks them."""
    if found := sorted(FOLDER.glob(f"*{SUFFIX}")):
        return found
    raise MeasurementError(
        f"{FOLDER}: no published points: the folder is a symbolic link to reference/published; "
        "clone the repository again with links, or install its wheel"
    )


@functools.cache
def shipped_points() -> tuple[Point, ...]:
    """The points of all files that ship."""
    return tuple(point for path in shipped() for point in read_points(path))


def read_points(path: Path) -> list[Point]:
    """Read a CSV file of points.

    Raises MeasurementError, naming file and line, where it is no such file or holds an impossible
    value: no finite number, a rate that is not above 0 or not below that of uncompressed RGB, or
    another word in `bits` than `BITS`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MeasurementError(f"{path}: no such file") from None
    except (UnicodeDecodeError, IsADirectoryError):
        raise MeasurementError(f"{path}: not a CSV file of published points") from None
    rows = csv.DictReader(io.StringIO(text))
    header = tuple(rows.fieldnames or ())
    if header != COLUMNS:
        raise MeasurementError(
            f"{path}: the first line is not {','.join(COLUMNS)}; `icmbench import-results` writes "
            "such a file"
        )
    return [_point(row, f"{path}:{number}") for number, row in enumerate(rows, 2)]


def _point(row: dict[str, str], where: str) -> Point:
    if None in row or None in row.values():
        raise MeasurementError(f"{where}: the line does not have {len(COLUMNS)} values")
    try:
        numbers = {name: float(row[name]) for name in ("bpp", "value")}
    except ValueError as error:
        raise MeasurementError(f"{where}: {error}: bpp and value are numbers") from None
    return checked(Point(**{**row, **numbers}), where)  # type: ignore[arg-type]


def checked(point: Point, where: str) -> Point:
    """The point itself; MeasurementError, which begins with `where`, for impossible values."""
    if not 0 < point.bpp < MAX_BPP:
        raise MeasurementError(
            f"{where}: {point.bpp:g} bits per pixel of {point.codec!r} is not between 0 and "
            f"{MAX_BPP:g}, the rate of uncompressed RGB: bits in place of bytes, or of bits per "
            "pixel?"
        )
    if not math.isfinite(point.value):
        raise MeasurementError(f"{where}: the value of {point.metric!r} is {point.value}")
    if point.bits not in BITS:
        raise MeasurementError(f"{where}: bits: {point.bits!r} is none of {', '.join(BITS)}")
    for name in ("codec", "dataset", "metric", "source"):
        if not getattr(point, name):
            raise MeasurementError(f"{where}: {name} is empty")
    return point


def write_points(points: Iterable[Point], path: Path | str) -> None:
    """Write points as CSV, atomically, numbers with six significant digits as in all tables."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for point in points:
        values = (getattr(point, name) for name in COLUMNS)
        writer.writerow([f"{v:.6g}" if isinstance(v, float) else v for v in values])
    write_text(path, buffer.getvalue())


def in_order(points: Iterable[Point]) -> list[Point]:
    """Points sorted by data set, codec, metric and rate."""
    return sorted(points, key=lambda p: (p.dataset, p.codec, p.metric, p.bpp))


def codecs_of(points: Iterable[Point]) -> Sequence[str]:
    """Names of the codecs, sorted."""
    return sorted({point.codec for point in points})
