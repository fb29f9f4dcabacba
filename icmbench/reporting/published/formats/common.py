"""Parts that the readers of results files share: given names, means over images."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from icmbench.core.errors import MeasurementError
from icmbench.reporting.published.points import Point


@dataclass(frozen=True)
class Given:
    """Statements of a user about a results file; None: as the file says.

    Attributes:
        file: its name, for errors.
    """

    file: str
    codec: str | None = None
    dataset: str | None = None
    source: str | None = None
    bits: str | None = None

    @property
    def origin(self) -> str:
        """The given source, or else the file's name."""
        return self.source or Path(self.file).name

    def named(self, kind: str, found: str | None) -> str:
        """The given `codec` or `dataset`, or else the file's; MeasurementError for neither."""
        name: str | None = getattr(self, kind) or found
        if not name:
            raise MeasurementError(f"{self.file}: the file does not name the {kind}: give --{kind}")
        return name


class Format(Protocol):
    """A module of a format."""

    TITLE: str

    def recognises(self, text: str) -> bool:
        """True where the content is of this format."""

    def read(self, text: str, given: Given) -> list[Point]:
        """Read the points; MeasurementError where something is missing or wrong."""


Row = Mapping[str, str]


def number(row: Row, column: str, given: Given) -> float:
    """A finite number of a row; MeasurementError where the cell holds none."""
    try:
        found = float(row[column])
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise MeasurementError(
            f"{given.file}: column {column} holds {row[column]!r} instead of a number"
        )
    return found


def header_of(text: str, delimiter: str = ",") -> list[str]:
    """Names of the columns of a table, in lower case; none where the first line is not CSV."""
    try:
        names = next(csv.reader(io.StringIO(text), delimiter=delimiter), [])
    except csv.Error:
        return []
    return [name.strip().lower() for name in names]


def rows_of(text: str, given: Given, delimiter: str = ",") -> list[Row]:
    """Rows of a table by the names of `header_of`.

    Raises MeasurementError for a column that is there twice, and naming the line where it has
    another number of cells.
    """
    names = header_of(text, delimiter)
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise MeasurementError(f"{given.file}: column {twice[0]} is there twice")
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    rows = []
    try:
        for cells in reader:
            if cells and len(cells) != len(names):
                raise MeasurementError(
                    f"{given.file}: line {reader.line_num} has {len(cells)} cells, the first has "
                    f"{len(names)}"
                )
            if cells:
                rows.append(dict(zip(names, cells, strict=True)))
    except csv.Error as error:
        raise MeasurementError(f"{given.file}: line {reader.line_num}: {error}") from None
    return list(rows[1:])


def means(
    rows: Iterable[Row],
    point: Callable[[Row], tuple[str, str]],
    image: str,
    columns: Iterable[str],
    given: Given,
) -> dict[tuple[str, str], tuple[int, dict[str, float]]]:
    """Means over images of every operating point: number of images, and a mean per column.

    Args:
        point: codec and setting of a row.
        image: column of the images' names.
        columns: columns that are averaged; one that is empty throughout is left out.

    Raises MeasurementError where an image occurs twice at a point, or the points of a codec are not
    of the same images: their means would not compare.
    """
    listed = list(rows)
    held = [name for name in columns if any(row[name] for row in listed)]
    groups: dict[tuple[str, str], dict[str, Row]] = {}
    for row in listed:
        group = groups.setdefault(point(row), {})
        if row[image] in group:
            codec, setting = point(row)
            raise MeasurementError(
                f"{given.file}: {row[image]} occurs twice at {setting} of {codec}"
            )
        group[row[image]] = row
    for (codec, setting), group in groups.items():
        others = next(g for (name, _), g in groups.items() if name == codec)
        if odd := sorted({*group} ^ {*others}):
            raise MeasurementError(
                f"{given.file}: the points of {codec} are not of the same images: {odd[0]} is not "
                f"at all of them (see {setting}); means over other images do not compare"
            )
    return {
        key: (
            len(group),
            {
                name: sum(number(row, name, given) for row in group.values()) / len(group)
                for name in held
            },
        )
        for key, group in groups.items()
    }
