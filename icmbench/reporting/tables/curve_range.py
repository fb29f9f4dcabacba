"""The range and the points behind a BD-rate."""

from __future__ import annotations

from typing import Final

from icmbench.reporting.statistics.bootstrap import Floats
from icmbench.reporting.statistics.curves import Curves, common_interval

RANGE: Final = ("quality_low", "quality_high", "specs", "anchor_specs")


def behind(family: Curves, anchor: Curves, *, higher_is_better: bool) -> dict[str, object]:
    """The columns `RANGE` of the first curves, which have two points or more each.

    `quality_low` and `quality_high` are the ends of the common range of the metric. `specs` and
    `anchor_specs` are codec specs, separated by spaces and sorted by rate: the Pareto-optimal
    points within the range and those next to it, between which the curve enters and leaves it.
    All are empty where the curves have no quality in common.
    """
    low, high = (float(end[0]) for end in common_interval(family, anchor)[:2])
    if high <= low:
        return {}
    ends = (low, high) if higher_is_better else (-high, -low)
    return {
        "quality_low": ends[0],
        "quality_high": ends[1],
        "specs": _between(family, low, high),
        "anchor_specs": _between(anchor, low, high),
    }


def _between(curves: Curves, low: float, high: float) -> str:
    quality: Floats = curves.quality[0, : int(curves.points[0])]
    first = max(int((quality <= low).sum()) - 1, 0)
    last = min(int((quality < high).sum()), len(quality) - 1)
    return " ".join(curves.names[first : last + 1])
