"""The wall-clock of a training: of all its pieces, and the time that a piece may take."""

from __future__ import annotations

import time

from icmbench.core.errors import IcmbenchError


class TrainingPaused(IcmbenchError):
    """The time of a piece is over: the state is saved, and the next piece resumes from it."""


class Clock:
    """The time of a training, which may be interrupted and resumed; it decides no weight.

    Attributes:
        earlier: seconds of the pieces before this one, up to the state that it resumed from.
    """

    def __init__(self, limit: float | None = None) -> None:
        """`limit`: seconds after which a piece ends; None: it runs to the end of the training."""
        self.earlier = 0.0
        self._limit = limit
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time of this piece and of those before it."""
        return self.earlier + time.monotonic() - self._start

    @property
    def expired(self) -> bool:
        """True once this piece has taken its time."""
        return self._limit is not None and time.monotonic() - self._start >= self._limit
