"""Progress of downloads: the bytes of several files on one bar."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Interrupted(Exception):
    """A download that ended because `Meter.stop` was called; what arrived is kept."""


class Meter:
    """Counter of the bytes of downloads, which may run in several threads.

    Args:
        bar: a bar of `icmbench.core.progress`.
        sizes: bytes of every file, by its name while it is incomplete; None: not known yet.
    """

    def __init__(self, bar: Any, sizes: Mapping[Path, int | None]) -> None:
        self._bar = bar
        self._sizes = dict(sizes)
        self._lock = threading.Lock()
        self._counted: dict[Path, int] = {}
        self._stopped = False

    def begin(self, part: Path, position: int, size: int | None) -> None:
        """Start a file at a position; bytes of an earlier process are no part of the rate.

        Args:
            size: bytes of the file, as the server states them. With the sizes of all files the bar
                has a total, and time left.
        """
        with self._lock:
            if part not in self._counted:
                self._bar.initial += position
            self._sizes[part] = size
            sizes = [known for known in self._sizes.values() if known is not None]
            self._bar.total = sum(sizes) if len(sizes) == len(self._sizes) else None
        self.at(part, position)

    def at(self, part: Path, position: int) -> None:
        """Count a file up to a position, which may be before that of a failed attempt.

        Raises Interrupted after `stop`.
        """
        if self._stopped:
            raise Interrupted(str(part))
        with self._lock:
            self._bar.update(position - self._counted.get(part, 0))
            self._counted[part] = position

    def stop(self) -> None:
        """End all downloads at their next bytes."""
        self._stopped = True
