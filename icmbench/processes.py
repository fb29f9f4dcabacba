"""The environment and the end of processes that import this package."""

from __future__ import annotations

import atexit
import gc
import os
from pathlib import Path

import icmbench


def environment(**changes: str) -> dict[str, str]:
    """This process's environment with changes, and where this package is: it need not be installed.

    Under `--sdm conda` it never is: jobs find it beside the Snakefile, their children must be told.
    """
    paths = [str(Path(icmbench.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, **changes, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def end_quickly() -> None:
    """Spare this process the search for garbage at its end: all its memory goes back anyway.

    With torch loaded the search takes a second of a processor or more. Whatever is registered with
    `atexit` is still done, and the standard streams are flushed. Objects that are alive then are
    not finalised: files must have been closed. For programs: a library leaves its process's end
    alone.
    """
    atexit.register(gc.freeze)
