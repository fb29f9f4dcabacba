"""The environment of processes that import this package."""

from __future__ import annotations

import os
from pathlib import Path

import icmbench


def environment(**changes: str) -> dict[str, str]:
    """This process's environment with changes, and where this package is: it need not be installed.

    Under `--sdm conda` it never is: jobs find it beside the Snakefile, their children must be told.
    """
    paths = [str(Path(icmbench.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, **changes, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
