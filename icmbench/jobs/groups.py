"""Files that a rule lists group by group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from icmbench.core.errors import MeasurementError

Name = TypeVar("Name")


def by_name(names: Iterable[Name], files: Sequence[Path]) -> dict[Name, list[Path]]:
    """The files of every name: equally many each, listed in the order of the names.

    Raises MeasurementError where the files cannot be divided so.
    """
    wanted = list(names)
    if (not wanted and files) or (wanted and len(files) % len(wanted)):
        raise MeasurementError(f"{len(files)} files for {len(wanted)} names: not equally many each")
    each = len(files) // max(len(wanted), 1)
    return {name: list(files[n * each : (n + 1) * each]) for n, name in enumerate(wanted)}
