"""Latents as prefixes of a stream leave them, imitated within a batch while the decoder is trained.

The codec's own palette takes seconds an image. What the decoder meets is imitated instead: cells
replaced by the means of clusters (a palette state), the rest of the latent in steps of a dead-zone
quantiser (a refined state), or the last channels left out.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch

PALETTES: Final = 0.4  # share of the examples that a palette replaces
REFINED: Final = 0.3  # share of those with quantised rest; the others keep their latent
CUT: Final = 0.5  # share of the others that lose some of the last channels
ENTRIES: Final = (1.0, 7.0)  # log2 of the entries that a crop meets
BEFORE_REFINEMENT: Final = 64  # entries of the palette below a quantised rest
STEPS: Final = (0.2, 2.0)  # of the quantiser, in the latent's units
RECONSTRUCTION: Final = 0.45  # place in the interval of a quantised magnitude
ROUNDS: Final = 3  # of k-means


def simulated_states(latent: torch.Tensor, carried: int, rng: np.random.Generator) -> torch.Tensor:
    """Latents (n, C, h, w) of which most are coarser, each in a way of its own that `rng` draws.

    Gradients reach the latent through the means of the clusters, and through quantised values as
    if they were not quantised.

    Args:
        carried: leading channels that the palette carries; the others are 0 in its states.
    """
    return torch.stack([_coarser(each, carried, rng) for each in latent])


def _coarser(latent: torch.Tensor, carried: int, rng: np.random.Generator) -> torch.Tensor:
    """One latent, (C, h, w)."""
    kind, detail = rng.random(), rng.random()
    if kind < PALETTES:
        low, high = ENTRIES
        return _palette(latent, carried, round(2 ** (low + detail * (high - low))), rng)
    if kind < PALETTES + REFINED:
        low, high = map(math.log, STEPS)
        base = _palette(latent, carried, BEFORE_REFINEMENT, rng)
        return base + _quantised(latent - base, math.exp(low + detail * (high - low)))
    if detail < CUT:
        kept = carried + int(rng.integers(len(latent) - carried + 1))
        return torch.cat([latent[:kept], torch.zeros_like(latent[kept:])])
    return latent


def _palette(
    latent: torch.Tensor, carried: int, entries: int, rng: np.random.Generator
) -> torch.Tensor:
    """The means of k-means clusters of the leading channels, 0 in the others."""
    channels, height, width = latent.shape
    cells = latent[:carried].flatten(1).T
    chosen = torch.from_numpy(rng.permutation(height * width)[:entries].copy())
    with torch.no_grad():
        centres = cells[chosen.to(cells.device)]
        for _ in range(ROUNDS):
            centres = _means(cells, _nearest(cells, centres), len(centres))
        labels = _nearest(cells, centres)
    means = _means(cells, labels, len(centres))[labels].T.reshape(carried, height, width)
    return torch.cat([means, means.new_zeros(channels - carried, height, width)])


def _nearest(cells: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Index of the nearest centre of every cell, by squared distance."""
    squares = (centres**2).sum(1) - 2 * cells @ centres.T
    return squares.argmin(1)


def _means(cells: torch.Tensor, labels: torch.Tensor, count: int) -> torch.Tensor:
    """Mean of the cells of every label, (count, C); 0 for a label without cells."""
    # A product with indicators: unlike index_add it is deterministic on a GPU, too.
    indicators = torch.nn.functional.one_hot(labels, count).to(cells.dtype)
    return indicators.T @ cells / indicators.sum(0).clamp(min=1)[:, None]


def _quantised(rest: torch.Tensor, step: float) -> torch.Tensor:
    """The rest in steps of a quantiser whose zone around 0 is two steps wide."""
    with torch.no_grad():
        whole = torch.floor(rest.abs() / step)
        shown = rest.sign() * torch.where(whole > 0, (whole + RECONSTRUCTION) * step, 0.0)
        change = shown - rest
    return rest + change
