"""Title, direction, unit and bound of the metrics of tasks, for tables and figures."""

from __future__ import annotations

from typing import NamedTuple


class Score(NamedTuple):
    """A metric of a task.

    Attributes:
        title: in tables and figures.
        higher_is_better: True where higher values are better.
        unit: of the axis of a figure; "": a share of what the title names.
        most: largest value that it can have, inf where there is none; the smallest is 0.
        nothing: of an error, its value where nothing is found: shares of the ceiling count from it.
            By default `most`; inf: there is none, as of a distance.
    """

    title: str
    higher_is_better: bool
    unit: str = ""
    most: float = 1.0
    nothing: float | None = None
