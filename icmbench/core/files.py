"""Files: digests and writes that are complete or absent."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import logging
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from icmbench.core.errors import ModelError, StorageError

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

_NAME_BYTES: Final = 255  # of a file name on the usual file systems
_SUFFIX_BYTES: Final = 16
_OWNER_HEX: Final = 8
_FORGOTTEN_SECONDS: Final = 7 * 24 * 3600  # longer than a job may take
_CLOCK_SECONDS: Final = 60  # between the clock of a file server and this machine's
# What `temporary_beside` makes: machine and process stand in it.
_TEMPORARY: Final = re.compile(rf"\..+\.([0-9a-f]{{{_OWNER_HEX}}})-(\d+)\.part(\.[^.]*)?", re.S)
_tidied: set[Path] = set()


def sha256_bytes(data: bytes) -> str:
    """Hexadecimal sha256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path | str) -> str:
    """Hexadecimal sha256 of a file's content, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_weight_file(path: Path, sha256: str | None) -> None:
    """Raise ModelError where a file is missing or has another sha256; None: any."""
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    if sha256 is not None and (found := sha256_file(path)) != sha256.lower():
        raise ModelError(f"{path}: its sha256 is {found}, expected {sha256}")


def seed_from(*parts: object) -> int:
    """A 63-bit seed from the text of its parts; the same on every machine and in every process."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@contextlib.contextmanager
def storage_errors(path: Path | str) -> Iterator[None]:
    """Turn a full disk in the block into a StorageError that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(f"{path}: {os.strerror(error.errno)}") from error
        raise


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds.

    A reader therefore finds the old file or the complete new one. On an exception the temporary
    file is removed and the old file stays. Temporary files of killed processes in the folder are
    removed first (`temporary_beside`).

    Raises OSError naming `path` where it is a folder, a device or another special file,
    StorageError naming it where the disk is full.
    """
    target = Path(path)
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            error.errno, f"its folder cannot be made: {error.strerror}", str(path)
        ) from error
    target = target.resolve()  # a link stays a link: what it points to is replaced
    temporary = temporary_beside(target)
    try:
        yield temporary
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):  # the first error is reported
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageError(f"{path}: {os.strerror(error.errno)}") from error
            if error.filename == str(temporary):
                raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def temporary_beside(target: Path) -> Path:
    """A name for what will become `target`, in its folder: hidden, this process's own.

    Before this process's first such name in a folder, what killed processes left in it is removed:
    files and folders of this machine whose process is gone, of other machines after a week without
    a write. Files that are being written stay.
    """
    folder = target.parent
    if folder not in _tidied and folder.is_dir():
        _tidied.add(folder)
        _tidy(folder)
    # The last suffix is kept: writers such as matplotlib and Pillow choose the format by it.
    stem, suffix = target.stem, target.suffix
    owner = f"{_machine()}-{os.getpid()}"
    if len(os.fsencode(f".{stem}.{owner}.part{suffix}")) > _NAME_BYTES:
        suffix = suffix if len(os.fsencode(suffix)) <= _SUFFIX_BYTES else ""
        stem = sha256_bytes(os.fsencode(target.name))[:32]
    return target.with_name(f".{stem}.{owner}.part{suffix}")


def _tidy(folder: Path) -> None:
    """Remove what killed processes left in a folder."""
    try:
        names = os.listdir(folder)
    except OSError:  # it may be written to, not read
        return
    for name in names:
        found = _TEMPORARY.fullmatch(name)
        path = folder / name
        if not found or not _abandoned(path, found[1] == _machine(), int(found[2])):
            continue
        log.info("%s: removed, left by a process that was killed", path)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)  # another process may be at it, too
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def _abandoned(path: Path, here: bool, pid: int) -> bool:
    """True if the process that wrote a temporary file or folder has ended."""
    try:
        written = path.stat().st_mtime
        if not here:
            return time.time() - written > _FORGOTTEN_SECONDS
        os.kill(pid, 0)  # no signal: only whether there is such a process
        # One that is younger than the file has been given the number of another.
        return _started(pid) > written + _CLOCK_SECONDS
    except ProcessLookupError:
        return True
    except OSError:  # the file has just gone, or the process is another user's
        return False


def _started(pid: int) -> float:
    """Start of a process in seconds of the clock; 0 if the system does not report it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        boot = re.search(rb"^btime (\d+)", Path("/proc/stat").read_bytes(), re.M)
    except OSError:
        return 0.0
    return int(boot[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK") if boot else 0.0


@functools.cache
def _machine() -> str:
    """Name of the namespace of process numbers: this machine, or a container on it."""
    space = Path("/proc/self/ns/pid")
    name = os.readlink(space) if space.is_symlink() else ""
    return sha256_bytes(f"{platform.node()}\0{name}".encode())[:_OWNER_HEX]


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write a file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Write a table as parquet, atomically and without its index."""
    with atomic_path(path) as temporary:
        frame.to_parquet(temporary, index=False)


def write_text(path: Path | str, text: str) -> None:
    """Write a UTF-8 text file atomically.

    Raises StorageError naming `path` where the text is none: it holds a file name that cannot be
    read in the locale's encoding.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        line = text[: error.start].rpartition("\n")[2] + text[error.start :].partition("\n")[0]
        raise StorageError(
            f"{path}: {line[:200]!a} is not text: rename that file or folder, or set LC_ALL=C.UTF-8"
        ) from error
    write_bytes(path, data)


def write_json(path: Path | str, value: Any) -> None:
    """Write JSON with sorted keys, so that equal values give equal files."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
