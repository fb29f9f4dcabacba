"""Annotation files that other programs wrote: bytes to text and JSON, with typed errors."""

from __future__ import annotations

import codecs
import hashlib
import json
import math
from pathlib import Path, PurePosixPath
from typing import Any, Final

from icmbench.core.errors import DatasetError

LARGEST_ID: Final = 2**53  # whole numbers up to here are exact in JSON, float64 and int64
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, with which it begins
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def with_file(digest: str, path: Path) -> str:
    """Digest of a data set that depends on one more file: its size and modification time.

    A file that is missing is reported where it is read.
    """
    if path.is_file():
        stat = path.stat()
        digest += f"\0{stat.st_size}\0{stat.st_mtime_ns}"
    return hashlib.sha256(digest.encode()).hexdigest()[:16]


def read_text(path: Path) -> str:
    """Text of a UTF-8 file, or of one that a byte order mark names UTF-16 or UTF-32.

    Raises DatasetError, naming the file, where it is missing or holds no such text.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from error
    found = (pair for pair in _MARKS if data.startswith(pair[0]))
    mark, encoding = next(found, (b"", "utf-8"))
    try:
        return data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: cannot be read as {encoding.upper()}: {error}") from error


def read_json(path: Path) -> Any:
    """Content of a JSON file; its values are not checked.

    Raises DatasetError, naming the file, where it is missing or is not JSON.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:  # RecursionError: nested too deeply
        raise DatasetError(f"{path}: not JSON: {error}") from error


def is_number(value: Any) -> bool:
    """True if a JSON value is a finite number; true and false are none."""
    if type(value) is float:
        return math.isfinite(value)
    return type(value) is int and abs(value) <= LARGEST_ID


def name_fault(name: Any) -> str:
    """Fault of a value as the name of a file below a folder; '' if there is none."""
    if not isinstance(name, str) or not name or not name.isprintable():
        return f"{name!r} is not text"
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        return f"{name!r} leads out of the folder of images"
    return "" if path.name else f"{name!r} is no file"
