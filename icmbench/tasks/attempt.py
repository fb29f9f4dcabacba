"""Conversion of a task model's exceptions into failures, which are rows of a table.

Models are third-party code and may raise any exception. An exception on one image is a failure of
that image; an exception while the model is loaded is a failure of the task on all images.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from icmbench.core.errors import IcmbenchError, StorageError

log = logging.getLogger(__name__)

Value = TypeVar("Value")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # of an object: differs between processes
OK = "ok"  # status of a row with a value
LONGEST = 500  # characters of a reason: some libraries print a whole tensor


@dataclass(frozen=True)
class Failure:
    """A failure in place of a value; `reason` is one line."""

    reason: str


def attempt(what: str, action: Callable[[], Value]) -> Value | Failure:
    """Run `action`; an exception becomes a `Failure`, and a warning that begins with `what`.

    Exhausted memory or disk space still ends the job: it is no failure of the image, and the
    scheduler starts the job again with more.
    """
    try:
        return action()
    except (MemoryError, StorageError):
        raise
    except IcmbenchError as error:
        failure = Failure(_one_line(str(error)))
        log.warning("%s: %s", what, failure.reason)
    except Exception as error:
        failure = Failure(_one_line(f"{type(error).__name__}: {error}"))
        log.warning("%s: %s", what, failure.reason, exc_info=True)
    return failure


def _one_line(text: str) -> str:
    line = " ".join(_ADDRESS.sub("", text).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."
