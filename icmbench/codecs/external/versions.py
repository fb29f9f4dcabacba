"""Versions of programs, asked once: kept until the file of the program changes."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from icmbench.core.errors import StorageError
from icmbench.core.files import sha256_file, write_text

SECONDS: Final = 10.0
_LONGEST: Final = 200  # characters
# Texts of earlier starts, below the directory that Snakemake runs in; it may be deleted.
CACHE: Final = Path(".snakemake") / "icmbench" / "programs.json"


def find_program(name: str) -> str | None:
    """The path of a program on PATH, or of the file itself where `name` is a path."""
    return shutil.which(name)


def version_text(command: Sequence[str], line: str = "") -> str:
    """First line that a program writes when asked for its version, whatever its exit code.

    Args:
        command: asks for the version.
        line: regular expression; the first line with a match is taken instead.

    A program that does not answer within `SECONDS`, or not with such a line, has the text
    `no version`.
    """
    path = find_program(command[0])
    if path is None:
        return "not installed"
    stat = os.stat(path)
    key = json.dumps([path, stat.st_size, stat.st_mtime_ns, [*command[1:]], line])
    known = _kept()
    if key not in known:
        known[key] = _asked(command, line)
        _keep(known)
    return known[key]


@functools.cache
def digest_text(name: str) -> str:
    """Digest of the file of a program that has no command for its version."""
    path = find_program(name)
    return f"{Path(name).name} sha256 {sha256_file(Path(path))[:16]}" if path else "not installed"


def _asked(command: Sequence[str], line: str) -> str:
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return f"{Path(command[0]).name} no version"
    lines = (done.stdout + b"\n" + done.stderr).decode(errors="replace").splitlines()
    found = [" ".join(each.split()) for each in lines if each.strip() and re.search(line, each)]
    name = Path(command[0]).name
    said = found[0][:_LONGEST] if found else "no version"
    return said if name.lower() in said.lower() else f"{name} {said}"


@functools.cache
def _kept() -> dict[str, str]:
    try:
        stored = json.loads(CACHE.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}


def _keep(known: dict[str, str]) -> None:
    """Write the file where Snakemake has its folder; elsewhere nothing is kept."""
    if CACHE.parent.parent.is_dir():
        try:
            write_text(CACHE, json.dumps(known))
        except (OSError, StorageError):
            return
