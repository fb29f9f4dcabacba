"""Compilation by numba in this process: announced once, timed, kept out of rates and limits.

The first image of a codec with compiled functions waits for the compiler, about a minute, unless an
earlier process has left its machine code in the cache (`icmbench.core.jit`). This module does not
import numba, so that codecs without such functions do not either.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter

from icmbench.core.progress import hold

log = logging.getLogger(__name__)

ANNOUNCEMENT = "compiling once: the first image waits about a minute, later runs do not"


class _Compiler:
    """State of the compiler; functions are compiled within the compilation of others."""

    depth = 0
    began = 0.0
    seconds = 0.0
    announced = False


_listeners: list[Callable[[bool], None]] = []


def listen(call: Callable[[bool], None]) -> None:
    """Call a function with True when the compiler starts and with False when it ends."""
    _listeners.append(call)


def seconds() -> float:
    """Seconds that this process has spent in the compiler."""
    return _Compiler.seconds


def started() -> None:
    """The compilation of a function starts."""
    _Compiler.depth += 1
    if _Compiler.depth > 1:
        return
    if not _Compiler.announced:
        _Compiler.announced = True
        log.warning("%s", ANNOUNCEMENT)
    for call in _listeners:
        call(True)
    _Compiler.began = perf_counter()


def ended() -> None:
    """The compilation of a function ends."""
    _Compiler.depth -= 1
    if _Compiler.depth:
        return
    taken = perf_counter() - _Compiler.began
    _Compiler.seconds += taken
    hold(taken)
    for call in _listeners:
        call(False)
