"""Progress of running jobs where the run was started: one line per job and minute.

The output of jobs goes to their logs, on a cluster on other machines too. The process that the run
was started with reads the last progress line of every log that has changed, and the warning of a
GPU that is not used, once.
"""

from __future__ import annotations

import atexit
import re
import sys
import threading
from pathlib import Path
from typing import Final, TextIO

from icmbench.core.devices import UNUSED
from icmbench.core.progress import EVERY

PAUSE: Final = 2 * EVERY  # seconds; jobs write a line every `EVERY`
SHOWN: Final = 12  # jobs at a time, so that those of a cluster do not fill the screen
_TAIL: Final = 1 << 14  # bytes of a log's start and end that are read
_PROGRESS: Final = re.compile(
    r"^(?:.* (?:INFO|WARNING) )?(\S.*: .* of .*, .* gone, .* left.*|compiling once.*)$"
)
_following: dict[Path, Follower] = {}


class Follower:
    """Reader of the logs below a folder that have changed since the first reading."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self._states = self._read_states()
        self._shown: dict[Path, str] = {}
        self._warnings: set[str] = set()

    def _read_states(self) -> dict[Path, tuple[int, int]]:
        states = {}
        for path in self.logs.rglob("*.log"):
            try:
                stat = path.stat()
            except OSError:  # removed meanwhile
                continue
            states[path] = stat.st_size, stat.st_mtime_ns
        return states

    def news(self) -> list[str]:
        """The latest progress of every job that has written one since the last call, by name.

        A warning of `icmbench.core.devices` that no job has given before stands in front.
        """
        states = self._read_states()
        changed = sorted(path for path, state in states.items() if state != self._states.get(path))
        self._states = states
        lines = []
        for path in changed:
            text = last_progress(path)
            if text and self._shown.get(path) != text:
                self._shown[path] = text
                lines.append(f"{path.relative_to(self.logs).with_suffix('')}: {text}")
        if len(lines) > SHOWN:
            lines = [*lines[:SHOWN], f"and {len(lines) - SHOWN} more jobs, see {self.logs}"]
        warnings = {text for path in changed if (text := unused_gpu_warning(path))}
        new = sorted(warnings - self._warnings)
        self._warnings |= warnings
        return new + lines


def last_progress(path: Path) -> str:
    """Last complete progress line of a log; "" without one."""
    try:
        with open(path, "rb") as handle:
            handle.seek(max(0, path.stat().st_size - _TAIL))
            data = handle.read()
    except OSError:
        return ""
    lines = data.decode("utf-8", "replace").split("\n")[:-1]
    for line in reversed(lines):
        if match := _PROGRESS.match(line):
            return match[1]
    return ""


def unused_gpu_warning(path: Path) -> str:
    """The warning at the start of a log that a GPU is not used; '' where there is none."""
    try:
        with open(path, "rb") as handle:
            text = handle.read(_TAIL).decode("utf-8", "replace")
    except OSError:
        return ""
    found = re.search(rf"{UNUSED}.*(?=\n)", text)
    return found[0] if found else ""


def follow(logs: Path, out: TextIO | None = None, pause: float = PAUSE) -> threading.Event | None:
    """Print news of a folder of logs from now on, from a thread that ends with the process.

    The event that is returned ends it earlier. Does nothing (None) where the folder is followed
    already.
    """
    if logs in _following:
        return None
    follower = _following[logs] = Follower(logs)
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(pause):
            for line in follower.news():
                print(f"icmbench: {line}", file=out or sys.stderr, flush=True)

    threading.Thread(target=run, name="follow-logs", daemon=True).start()
    return ended


def print_at_exit(file: Path) -> None:
    """Print the line in a file when this process exits, after Snakemake's own last lines."""
    if file.is_file() and (line := file.read_text(encoding="utf-8")):
        atexit.register(print, f"icmbench: {line}", file=sys.stderr)
