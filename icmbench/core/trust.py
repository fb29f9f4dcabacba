"""Trusted checkpoints: files whose sha256 a user has compared with the one that is published.

A trusted file may hold objects of any package beside its tensors. They are left out, as those of
training frameworks are: trust does not run them either.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from icmbench.core.errors import ModelError
from icmbench.core.files import check_weight_file, sha256_file, write_json

SUFFIX: Final = ".trusted"  # of the note beside a trusted file


def trust(path: Path, sha256: str) -> Path:
    """Write the note beside a file that makes it a trusted one, and return the note's path.

    Raises ModelError where the file is missing or has another sha256.
    """
    check_weight_file(path, sha256)
    note = _note(path)
    write_json(note, {"sha256": sha256.lower()})
    return note


def trusted(path: Path) -> bool:
    """True where a note of `trust` lies beside a file, and the file has the sha256 of the note.

    Raises ModelError where the note is damaged or of another file: the file has changed since.
    """
    note = _note(path)
    if not note.is_file():
        return False
    try:
        expected = json.loads(note.read_bytes())["sha256"]
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{note}: damaged; remove it, or run icmbench trust again") from error
    if (found := sha256_file(path)) != expected:
        raise ModelError(
            f"{path}: its sha256 is {found}, trusted was {expected}: compare it with the published "
            "one, then run icmbench trust again"
        )
    return True


def _note(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)
