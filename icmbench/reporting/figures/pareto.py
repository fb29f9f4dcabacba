"""Which operating points no other point of their family beats."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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
    # By rate; at one rate the best quality first, so that the sweep keeps only that one.
    order = np.lexsort((np.arange(len(rate)), -gain, rate))
    keep = np.zeros(len(rate), dtype=np.bool_)
    best = -np.inf
    for index in order:
        if gain[index] > best:
            keep[index] = True
            best = gain[index]
    return keep
