"""Child processes with this package: their start and environment; fast interpreter exit."""

from __future__ import annotations

import atexit
import ctypes
import gc
import io
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import icmbench

_PR_SET_PDEATHSIG = 1


def environment(**changes: str) -> dict[str, str]:
    """This process's environment with changes, in which Python imports this very package.

    The folder of the package is first in PYTHONPATH: it need not be installed (under `--sdm conda`
    it never is), and an installed one of another checkout is not taken. The working directory is
    not searched, neither by `python -m` nor because of an empty entry of PYTHONPATH: a user's
    `random.py` or another checkout may lie there.
    """
    home = str(Path(icmbench.__file__).parent.parent)
    given = changes.get("PYTHONPATH", os.environ.get("PYTHONPATH", "")).split(os.pathsep)
    paths = [home, *(path for path in given if path and path != home)]
    search = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
    return {**os.environ, **changes, **search}


def protect_children() -> None:
    """Give all children of this process, whoever starts them, the paths of `environment`.

    For the Snakefile: Snakemake starts jobs as `python -m snakemake` where the user stands.
    """
    os.environ.update(environment())


def start_python(
    *arguments: object, changes: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[bytes]:
    """Start a Python process that imports this very package; see `environment`.

    Args:
        arguments: of the interpreter, such as `-m` and a module, or a script.
        changes: environment variables to set.
        options: of `subprocess.Popen`.
    """
    command = [sys.executable, "-P", *map(str, arguments)]
    return subprocess.Popen(command, env=environment(**(changes or {})), **options)


def die_with_parent() -> None:
    """Linux: this process is killed when its parent is, whatever it is busy with."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def signal_name(number: int) -> str:
    """`SIGKILL`; those between the first and the last real-time signal have no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def run_python(
    *arguments: object, changes: Mapping[str, str] | None = None, **options: Any
) -> None:
    """Run such a process to its end; CalledProcessError where it fails."""
    with start_python(*arguments, changes=changes, **options) as process:
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, process.args)


def print_any_text(encoding: str | None = None) -> None:
    """Let standard output and error print any text; None: in the encoding that they have.

    What it lacks stands as an escape (`\\u65e5`): a file name is no reason to fail.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # it may be replaced, by tests for one
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def collect_rarely() -> None:
    """Search for garbage after 10,000 new objects instead of 700.

    Importing torch, diffusers or mmdet makes millions of objects that stay: the searches find
    nothing and take a fifth of the time. For programs, as `end_quickly`.
    """
    gc.set_threshold(10_000)


def end_quickly() -> None:
    """Spare this process the search for garbage at its end: all its memory goes back anyway.

    With torch loaded the search takes a second of a processor or more. Whatever is registered with
    `atexit` is still done, and the standard streams are flushed. Objects that are alive then are
    not finalised: files must have been closed. For programs: a library leaves its process's end
    alone.
    """
    atexit.register(gc.freeze)
