"""The integer tables of a trained codec: made once, then part of the model."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.codecs.diff_icmh.entropy.models import EntropyBottleneck
from icmbench.codecs.diff_icmh.entropy.tables import Tables, bottleneck_tables, gaussian_tables
from icmbench.codecs.diff_icmh.networks.lfgcm import build_lfgcm
from icmbench.codecs.diff_icmh.networks.transforms import LfgcmSettings
from icmbench.core.files import sha256_file
from icmbench.models.tensors import fill_network, load_network, save_arrays

TAIL: Final = 1e-9  # probability that the tables of z leave to the escape, both sides together
REACH: Final = 512  # a channel of z has no symbol beyond; the escape codes what comes anyway


def write_tables(path: Path, codec: Path) -> None:
    """Write `tables.safetensors` for the codec of a file."""
    state, metadata = load_network(codec)
    lfgcm = build_lfgcm(LfgcmSettings.read(metadata["network"]), seed=0)
    fill_network(lfgcm, state, codec)
    arrays = {
        **gaussian_tables().to_arrays("y"),
        **z_tables(lfgcm.entropy_bottleneck).to_arrays("z"),
    }
    save_arrays(path, arrays, {"codec": sha256_file(codec)})


def z_tables(bottleneck: EntropyBottleneck) -> Tables:
    """Tables of the factorised prior, one per channel, of the symbols round(z - median)."""
    low, high = quantile_range(bottleneck)
    pmfs, minima, tails = [], [], []
    medians = bottleneck.medians().detach().double().reshape(-1)
    for channel in range(len(medians)):
        symbols = torch.arange(low[channel], high[channel] + 1, dtype=torch.float64)
        edges = torch.cat([symbols - 0.5, symbols[-1:] + 0.5]) + medians[channel]
        rows = edges.expand(len(medians), -1)
        cumulative = _cumulative(bottleneck, rows)[channel].numpy()
        pmf = np.maximum(np.diff(cumulative), 0)
        pmfs.append(pmf)
        minima.append(int(low[channel]))
        tails.append(max(float(cumulative[0] + 1 - cumulative[-1]), 0.0))
    return bottleneck_tables(pmfs, minima, tails)


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
