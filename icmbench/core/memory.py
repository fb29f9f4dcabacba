"""Peak memory of this process and of the programs that it ran."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def process_peak() -> int:
    """Peak resident memory of this process in bytes."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return _bytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    # On Linux `ru_maxrss` is inherited through fork and exec: it may be the parent's peak.
    line = next(
        line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM")
    )
    return 1024 * int(line.split()[1])


def programs_peak() -> int:
    """Peak resident memory in bytes of the largest program that this process ran; 0: none ended.

    On Linux at least what this process had when it started the program.
    """
    return _bytes(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def _bytes(peak: int) -> int:
    return peak if sys.platform == "darwin" else 1024 * peak
