"""Checks of fetched files: size, checksums, free space."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from icmbench.core.errors import StorageError

WHOLE: Final = 64  # digits of a sha256


def wrong_content(path: Path, size: int | None, expected: Mapping[str, str]) -> str:
    """Size or checksum of a file that differs from the expected one; '' if none does.

    Args:
        size: bytes; None: any.
        expected: by name of the algorithm, hexadecimal digits or the first ones.
    """
    if size is not None and (found := path.stat().st_size) != size:
        return f"it has {found} bytes, expected {size}"
    for name, text in expected.items():
        with open(path, "rb") as handle:
            digest = hashlib.file_digest(handle, name).hexdigest()
        if not digest.startswith(text):
            some = "" if len(text) == len(digest) else " at its beginning"
            return f"{name} is {digest}, expected {text}{some}"
    return ""


def check_free(folder: Path, needed: int, what: str) -> None:
    """StorageError where the file system of a folder has fewer than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StorageError(
            f"{folder}: {what} needs {amount(needed)}, {amount(free)} are free: free some, or set "
            "`downloads` to a folder with more space"
        )


def amount(size: int | None) -> str:
    """Bytes as text, in powers of 1000: `816 MB`."""
    if size is None:
        return "size not stated"
    value, unit = float(size), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"
