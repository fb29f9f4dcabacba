"""Parts that the readers of results files share: given names, means over images."""

from __future__ import annotations

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
    """A number of a row; MeasurementError where the cell holds none."""
    try:
        return float(row[column])
    except (TypeError, ValueError):
        raise MeasurementError(
            f"{given.file}: column {column} holds {row[column]!r} instead of a number"
        ) from None


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
