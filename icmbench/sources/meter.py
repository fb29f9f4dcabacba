"""Progress of downloads: the bytes of several files on one bar."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any


class Interrupted(Exception):
    """A download that ended because `Meter.stop` was called; what arrived is kept."""


class Meter:
    """Counter of the bytes of downloads, which may run in several threads.

    Args:
        bar: a bar of `icmbench.core.progress`.
    """

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._lock = threading.Lock()
        self._counted: dict[Path, int] = {}
        self._stopped = False

    def begin(self, part: Path, position: int) -> None:
        """Start a file at a position; bytes of an earlier process are no part of the rate."""
        with self._lock:
            if part not in self._counted:
                self._bar.initial += position
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
