"""Integer tables of a factorised prior, from its learned distributions."""

from __future__ import annotations

import copy
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.bitstream.tables import Tables, bottleneck_tables
from icmbench.models.entropy_models import EntropyBottleneck

TAIL: Final = 1e-9  # probability that the tables leave to the escape, both sides together
REACH: Final = 512  # a channel's table has no symbol beyond; the escape codes what comes anyway


def prior_tables(bottleneck: EntropyBottleneck) -> Tables:
    """Tables of a factorised prior, one per channel, of the symbols round(value - median)."""
    low, high = quantile_range(bottleneck)
    counts = high - low + 1
    # One evaluation of all channels, as wide as the widest table.
    steps = torch.arange(int(counts.max()) + 1, dtype=torch.float64)
    medians = bottleneck.medians().detach().double().reshape(-1, 1)
    edges = torch.from_numpy(low).double()[:, None] + steps - 0.5 + medians
    cumulative = _cumulative(bottleneck, edges).numpy()
    rows = [row[: count + 1] for row, count in zip(cumulative, counts, strict=True)]
    pmfs = [np.maximum(np.diff(row), 0) for row in rows]
    tails = [max(float(row[0] + 1 - row[-1]), 0.0) for row in rows]
    return bottleneck_tables(pmfs, low.tolist(), tails)


def quantile_range(bottleneck: EntropyBottleneck) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lowest and highest symbol of every channel's table, from the stored quantiles."""
    quantiles = bottleneck.quantiles.detach().double()[:, 0].numpy()
    low = np.floor(quantiles[:, 0] - quantiles[:, 1]).clip(-REACH, 0).astype(np.int64)
    high = np.ceil(quantiles[:, 2] - quantiles[:, 1]).clip(0, REACH).astype(np.int64)
    return low, high


def set_quantile_tails(bottleneck: EntropyBottleneck) -> None:
    """Set the tails of every channel's quantiles by bisection; the median is unchanged.

    Training rounds z about the stored median, so it stays; its
    position decides nothing but which integers stand for which values.
    """
    quantiles = bottleneck.quantiles.detach().double().clone()
    medians = quantiles[:, 0, 1]
    for place, goal in ((0, TAIL / 2), (2, 1 - TAIL / 2)):
        low, high = medians - REACH, medians + REACH
        for _ in range(64):
            middle = (low + high) / 2
            below = _cumulative(bottleneck, middle[:, None])[:, 0] < goal
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        # Whole steps outwards: a file of half precision keeps them.
        found = (high - medians).abs().ceil() * (-1 if place == 0 else 1)
        quantiles[:, 0, place] = medians + found
    with torch.no_grad():
        bottleneck.quantiles.copy_(quantiles)


def _cumulative(bottleneck: EntropyBottleneck, values: torch.Tensor) -> torch.Tensor:
    """Share of every channel's distribution below values (C, k), in float64."""
    with torch.no_grad():
        exact = copy.deepcopy(bottleneck).double()
        return exact.logits(values[:, None].double()).sigmoid()[:, 0]
