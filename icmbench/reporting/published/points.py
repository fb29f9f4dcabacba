"""Published points as CSV files: one point of one metric a row, with its source.

`reference/published` of the repository holds the files that ship; its README says how each number
was read. Nothing here needs numpy: points are read while a run is planned.
"""

from __future__ import annotations

import csv
import functools
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from icmbench.core.errors import MeasurementError
from icmbench.core.files import write_text

FOLDER: Final = Path(__file__).parent / "points"  # linked to reference/published of the repository
REAL, ESTIMATED, NOT_STATED = BITS = ("real", "estimated", "not stated")
MAX_NAME: Final = 60  # characters of a codec's name: it stands in legends
MAX_BPP: Final = 24.0  # of an image that is not compressed
SUFFIX: Final = ".csv"
# Metrics of at most 1, and variants of them: a value above is in decibels or in percent.
_AT_MOST_ONE: Final[Mapping[re.Pattern[str], str]] = {
    re.compile(r"(ms_|iw_)?ssim(_(?!db).*)?|haarpsi|fsim"): "decibels (1 - 10^(-value/10))",
    re.compile(r"(box|mask|oks)_map\d*(_.*)?|miou|macc|aacc|[psr]q(_.*)?"): "percent",
}


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
    value: no finite number, a rate that is not above 0 or not below that of uncompressed RGB, a
    share above 1, another word in `bits` than `BITS`; or where a line stands there twice, or none.
    """
    text = read_text(path, "not a CSV file of published points")
    rows = csv.DictReader(io.StringIO(text))
    lines: dict[Point, int] = {}
    try:
        header = tuple(rows.fieldnames or ())
        if header != COLUMNS:
            raise MeasurementError(
                f"{path}: the first line is not {','.join(COLUMNS)}; `icmbench import-results` "
                "writes such a file"
            )
        for row in rows:
            where = f"{path}:{rows.line_num}"
            point = _point(row, where)
            if (first := lines.setdefault(point, rows.line_num)) != rows.line_num:
                raise MeasurementError(f"{where}: the same as line {first}: remove one")
    except csv.Error as error:
        raise MeasurementError(f"{path}:{rows.line_num}: no CSV: {error}") from None
    if not lines:
        raise MeasurementError(f"{path}: holds no point")
    return list(lines)


def read_text(path: Path, otherwise: str) -> str:
    """The text of a file in UTF-8, without a byte order mark.

    Raises MeasurementError naming the file: `otherwise` where it is no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MeasurementError(f"{path}: no such file") from None
    except (UnicodeDecodeError, IsADirectoryError):
        raise MeasurementError(f"{path}: {otherwise}") from None
    except OSError as error:
        raise MeasurementError(f"{path}: {error.strerror}") from None


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
    if point.value > 1 and (unit := _unit_above_one(point.metric)):
        raise MeasurementError(
            f"{where}: {point.value:g} of {point.metric!r} is above 1: in {unit}?"
        )
    if point.bits not in BITS:
        raise MeasurementError(f"{where}: bits: {point.bits!r} is none of {', '.join(BITS)}")
    if len(point.codec) > MAX_NAME:
        raise MeasurementError(f"{where}: the codec's name is longer than {MAX_NAME} characters")
    for name in ("codec", "dataset", "metric", "source", "how_read"):
        text = getattr(point, name)
        if not text.strip() and name != "how_read":
            raise MeasurementError(f"{where}: {name} is empty")
        if any(ord(one) < ord(" ") or ord(one) == 127 for one in text):
            raise MeasurementError(f"{where}: {name} {text!r} holds a control character")
    return point


def _unit_above_one(metric: str) -> str:
    """The unit that a value above 1 of a metric may have; empty where it may be above 1."""
    name = metric.partition(":")[0]
    return next((unit for names, unit in _AT_MOST_ONE.items() if names.fullmatch(name)), "")


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
