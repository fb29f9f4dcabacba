"""Progress of long work: a bar on a terminal, now and then a line in a job's log, else silence."""

from __future__ import annotations

import functools
import logging
import os
import sys
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tqdm import tqdm

log = logging.getLogger(__name__)

# Seconds between lines of a log; what takes less leaves none.
EVERY: Final = float(os.environ.get("ICMBENCH_PROGRESS_SECONDS") or 30)
LINE: Final = (
    "{desc}: {n_fmt} of {total_fmt}, {rate_fmt}, {elapsed} gone, {remaining} left{postfix}"
)


_open: weakref.WeakSet[tqdm[Any]] = weakref.WeakSet()


def hold(seconds: float) -> None:
    """Leave time out of the rates and forecasts of all bars: loading, compiling."""
    for bar in list(_open):
        bar.start_t += seconds
        bar.last_print_t += seconds


class _LogFile:
    """File for a progress bar without a terminal: one record per line."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        line = text.strip()
        if line:
            log.info("%s", line)
        return len(text)

    def flush(self) -> None:
        """Records are flushed by their handler."""


@functools.cache
def _lines() -> type[tqdm[Any]]:
    """The class of bars that write lines: it starts no thread that redraws."""
    from tqdm import tqdm

    class Lines(tqdm):  # type: ignore[type-arg]
        monitor_interval = 0

    return Lines


def progress(
    items: Iterable[Any] | None = None, *, desc: str, unit: str, **options: Any
) -> tqdm[Any]:
    """Items, counted as they are taken; without items, something to call `update` of.

    Args:
        desc: what is done.
        unit: of what is counted.
        options: `total`, `initial`, `unit_scale` and others of `tqdm.tqdm`.
    """
    from tqdm import tqdm

    if sys.stderr.isatty():
        bar = tqdm(items, desc=desc, unit=unit, **options)
        _open.add(bar)
        return bar
    lines = _lines()(
        items,
        desc=desc,
        unit=unit,
        file=_LogFile(),
        mininterval=EVERY,
        miniters=1,
        delay=EVERY,
        position=0,
        bar_format=LINE,
        **options,
    )
    _open.add(lines)
    return lines
