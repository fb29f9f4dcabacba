"""The one place where whatever a model raises on one image becomes a row instead of the job's end.

A model is someone else's program: it raises what it likes. What it raises on one image is a failure
of that image, and what it raises while it is loaded is a failure of the task on all images.
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
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # of an object: another one in every process
OK = "ok"  # status of a row with a value
LONGEST = 500  # characters of a reason: some libraries print a whole tensor


@dataclass(frozen=True)
class Failure:
    """Stands where a value would: `reason` is one line."""

    reason: str


def attempt(what: str, action: Callable[[], Value]) -> Value | Failure:
    """Run `action`; what it raises is a `Failure` and a warning that begins with `what`.

    Memory and disk that run out still end the job: they say nothing about the image, and the
    scheduler starts it again with more.
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
