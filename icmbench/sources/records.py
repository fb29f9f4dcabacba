"""Records of fetched files: the checksum of the first download, and archives that were unpacked.

`<downloads>/locks/<source>.json`. A publisher that states no checksum may replace a file; the
record of its first download makes that an error. It outlives the files themselves.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from icmbench.core.errors import DatasetError
from icmbench.core.files import write_json

log = logging.getLogger(__name__)

FOLDER: Final = "locks"


@dataclass
class Records:
    """Recorded checksums and unpacked archives of one source.

    Attributes:
        path: the file of the records.
        files: by name, `sha256`, `size` in bytes and `url` of the first download ('' of a file
            that a person put there).
        unpacked: by name of an archive, its `sha256`, `size` and some `names` at the top of its
            content.
    """

    path: Path
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    unpacked: dict[str, dict[str, Any]] = field(default_factory=dict)

    def save(self) -> None:
        """Write the records; equal records give equal files."""
        write_json(self.path, {"files": self.files, "unpacked": self.unpacked})


def read_records(downloads: Path, source: str) -> Records:
    """Records of a source, empty before its first download.

    Raises DatasetError, naming the file, where it is damaged.
    """
    path = downloads / FOLDER / f"{source}.json"
    if not path.exists():
        return Records(path)
    try:
        stored = json.loads(path.read_text("utf-8"))
        return Records(path, dict(stored["files"]), dict(stored["unpacked"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: damaged records of downloads ({error}): restore the file, or remove it to "
            "record the checksums anew"
        ) from error


@contextlib.contextmanager
def only_process(downloads: Path, source: str) -> Iterator[None]:
    """Let one process at a time fetch a source; others wait.

    On a file system without locks this is logged, and nothing keeps two processes apart.
    """
    path = downloads / FOLDER / f".{source}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.warning("%s: another process is fetching it: waiting", source)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            log.warning("%s: cannot be locked (%s): fetch it in one process", path, error.strerror)
        yield
    finally:
        os.close(handle)
