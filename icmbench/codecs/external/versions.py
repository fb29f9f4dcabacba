"""Versions of programs, asked once: kept until the file of the program changes."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from icmbench.codecs.external.run_program import printable, program_environment
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
    if any(map(os.path.isdir, command[1:])):  # a checkout: what lies in it may change
        return _asked(command, line)
    files = [path, *filter(os.path.isfile, command[1:])]
    return _remembered([*command, line], files, lambda: _asked(command, line))


def digest_text(name: str) -> str:
    """Digest of a program's file, or of another file."""
    path = find_program(name) or (name if os.path.isfile(name) else None)
    if path is None:
        return "not installed"
    digest = _remembered(["sha256"], [path], lambda: sha256_file(path)[:16])
    return f"{Path(name).name} sha256 {digest}"


def _remembered(what: Sequence[str], files: Sequence[str], find: Callable[[], str]) -> str:
    """A text that is found anew only when one of the files has changed."""
    stats = [(file, os.stat(file)) for file in files]
    marks = [(file, stat.st_size, stat.st_mtime_ns) for file, stat in stats]
    key, known = json.dumps([*what, marks]), _kept()
    if key not in known:
        known[key] = find()
        _keep(known)
    return known[key]


def _asked(command: Sequence[str], line: str) -> str:
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            env=program_environment(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return f"{Path(command[0]).name} no version"
    lines = (done.stdout + b"\n" + done.stderr).decode(errors="replace").splitlines()
    found = [text for each in lines if (text := printable(each)) and re.search(line, each)]
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
