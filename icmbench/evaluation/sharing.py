"""Points that two entries of a configuration have: coded once, listed under both.

The job of the later entry copies streams, reconstructions and measurements of the earlier one, so
that its own files are complete and nothing after it has to know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icmbench.core.errors import MeasurementError
from icmbench.evaluation.shard import TIMING, CodecEntry, read_rows

if TYPE_CHECKING:
    from icmbench.evaluation import archive

Key = tuple[str, str]


@dataclass(frozen=True)
class Shared:
    """Results that an entry takes from an earlier entry, of one shard.

    Attributes:
        strings: the codec specs that both entries list.
        archive, status, timing: files of the earlier entry's encoding (or decoding) job.
    """

    strings: frozenset[str]
    archive: Path
    status: Path
    timing: Path


def shared_strings(entries: Mapping[str, CodecEntry]) -> dict[str, dict[str, list[str]]]:
    """By entry, the earlier entries that have points of it, and these points' strings.

    The first entry that lists a codec spec codes it.
    """
    owner: dict[str, str] = {}
    found: dict[str, dict[str, list[str]]] = {}
    for name, entry in entries.items():
        for point in entry.points:
            first = owner.setdefault(point.spec, name)
            if first != name:
                found.setdefault(name, {}).setdefault(first, []).append(point.spec)
    return found


def shared_of(strings: Mapping[str, Sequence[str]], files: Sequence[str]) -> list[Shared]:
    """The `Shared` of a job: per earlier entry three files (archive, status, timing), in order."""
    return [
        Shared(frozenset(strings[name]), *(Path(path) for path in files[3 * n : 3 * n + 3]))
        for n, name in enumerate(strings)
    ]


class Taken:
    """Results of earlier entries, by codec spec or encoding and image."""

    def __init__(self, shared: Sequence[Shared], column: str, fields: Sequence[str]) -> None:
        """Read the status and timing rows of the names in `column` (`codec` or `encoding`).

        Raises MeasurementError where a file is not of that form.
        """
        self._archives: dict[str, Path] = {}
        self._rows: dict[Key, dict[str, str]] = {}
        self._seconds: dict[Key, dict[str, str]] = {}
        for one in shared:
            for row in read_rows(one.status, fields):
                if row[column] in one.strings:
                    self._archives[row[column]] = one.archive
                    self._rows[row[column], row["image"]] = row
            for row in read_rows(one.timing, TIMING):
                if row[column] in one.strings:
                    self._seconds[row[column], row["image"]] = row
        self._names = frozenset(name for one in shared for name in one.strings)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def row(self, name: str, image: str) -> dict[str, str]:
        """The status row; MeasurementError where the earlier entry has none."""
        try:
            return self._rows[name, image]
        except KeyError:
            raise MeasurementError(f"{name}, {image}: the entry that codes it has no row") from None

    def seconds(self, name: str, image: str, entry: str) -> list[dict[str, Any]]:
        """The timing row under another entry's name; none where nothing was timed."""
        row = self._seconds.get((name, image))
        return [] if row is None else [{**row, "family": entry}]

    def copy(self, name: str, member: str, out: archive.Writer) -> None:
        """Copy a member of the earlier entry's archive."""
        from icmbench.evaluation import archive

        with archive.reader(self._archives[name]) as source:
            out.add(member, archive.read_member(source, member))
