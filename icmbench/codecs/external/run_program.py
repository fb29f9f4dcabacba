"""Running a program: no shell, no input, its own folder, and its last words where it fails."""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final

from icmbench.core.errors import CodecError, ProgramCrashed
from icmbench.core.processes import die_with_parent, signal_name

LINES: Final = 3  # of its output, in an error
_TAIL: Final = 2000  # bytes of its output that are read
# Set by this package for its own processes: a program's Python must find its own modules.
_OURS: Final = ("PYTHONPATH", "PYTHONSAFEPATH")


def run_program(command: Sequence[str], folder: Path, memory_mb: int = 0) -> str:
    """Run a program in a folder to its end, and return the last lines that it wrote.

    It is in the process group of its caller, which the time limit of a codec process ends.

    Args:
        memory_mb: limit of its address space; 0: none.

    Raises CodecError where it cannot be started or its exit code is not 0, and ProgramCrashed where
    a signal ended it, with these lines.
    """
    print(shlex.join(command), file=sys.stderr, flush=True)  # in the job's log
    name = Path(command[0]).name
    # Beside its folder: that is empty.
    texts = [folder.with_name(f"{folder.name}-{stream}.txt") for stream in ("stderr", "stdout")]
    with open(texts[0], "wb") as errors, open(texts[1], "wb") as output:
        try:
            process = _start(command, folder, output, errors, memory_mb)
        except OSError as error:
            raise CodecError(f"{name} cannot be started: {error.strerror}") from error
        code = process.wait()
    said = _last_lines(texts)
    if code < 0:
        raise ProgramCrashed(f"{name} was ended by {signal_name(-code)}{said}")
    if code:
        raise CodecError(f"{name} ended with exit code {code}{said}")
    return said


def program_environment() -> dict[str, str]:
    """The environment of programs: this process's, without what is meant for our own."""
    return {key: value for key, value in os.environ.items() if key not in _OURS}


def _start(
    command: Sequence[str], folder: Path, output: IO[bytes], errors: IO[bytes], memory_mb: int
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(command),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        env=program_environment(),
        preexec_fn=_before(memory_mb),
    )


def _before(memory_mb: int) -> Callable[[], None]:
    def limit() -> None:
        die_with_parent()
        if memory_mb:
            size = memory_mb << 20
            resource.setrlimit(resource.RLIMIT_AS, (size, size))

    return limit


def printable(line: str) -> str:
    """A line of a program for tables and terminals: no control characters, single spaces."""
    return " ".join("".join(one if one.isprintable() else " " for one in line).split())


def _last_lines(texts: Sequence[Path]) -> str:
    """`: ` and the last lines of the first file that has some, or nothing."""
    for path in texts:
        with open(path, "rb") as handle:  # of any length
            handle.seek(max(0, os.fstat(handle.fileno()).st_size - _TAIL))
            tail = handle.read(_TAIL).decode(errors="replace").splitlines()
        if lines := list(filter(None, map(printable, tail))):
            return ": " + " / ".join(lines[-LINES:])
    return ""
