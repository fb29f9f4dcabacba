"""First import of yapf, on which mmengine builds.

yapf keeps parsed grammars in a file of the user's cache, which it does not write at once: a process
that starts at the same time reads half a file and fails.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import tempfile
from pathlib import Path


def import_yapf() -> None:
    """Import yapf, one process of a user at a time."""
    lock = Path(tempfile.gettempdir()) / f"icmbench-yapf-{os.getuid()}.lock"
    with open(lock, "w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        importlib.import_module("yapf")
