"""Pareto-optimal operating points of a codec entry."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from icmbench.reporting.statistics.curves import sweep


def pareto_optimal(
    rate: NDArray[np.float64], quality: NDArray[np.float64], higher_is_better: bool
) -> NDArray[np.bool_]:
    """Mark the points for which no other has at most the rate and at least the quality.

    Args:
        rate, quality: shape (n,), finite. Of points equal in both, only the first is marked.
        higher_is_better: False for a distance such as LPIPS or GMSD.

    Returns:
        Booleans, shape (n,), in the order given.
    """
    gain = quality if higher_is_better else -quality
    # The selection of the BD-rates: a figure's line and a BD-rate join the same points.
    order, keep = sweep(rate[np.newaxis], gain[np.newaxis])
    marked = np.zeros(len(rate), dtype=np.bool_)
    marked[order[0]] = keep[0]
    return marked
