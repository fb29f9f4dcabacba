"""The reverse process: from a palette state back to the latent (DESIGN 5f).

A network R predicts the finest latent from a coarser state, `z_0 ~ z_t + R(z_t, t)`. The prediction
is projected so that the mean over the cells of every palette entry equals its value in the stream;
in a refinement state, so that every coefficient lies within its bounds. The original latent has
this property, so the projection never increases the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.codecs.mpd.networks.reverse_network import Noise, ReverseNetwork
from icmbench.codecs.mpd.stream.coder import State
from icmbench.models.latent import LATENT_TILE, LATENT_WHOLE, SCALE, in_tiles, tiles

KEEP: Final = 0.6  # share of the old residual in a step of `diffusion`; the rest is fresh noise

Floats = NDArray[np.float32]


def reverse(
    network: ReverseNetwork | None,
    state: State,
    decoder: str,
    noise: Sequence[Noise],
    seed: int,
    device: str = "cpu",
) -> Floats:
    """The latent that a decoder makes of a state, float32 (h, w, C), in standard deviations.

    Args:
        network: R; the decoder `mean` needs none. Its latent may have more channels than the
            palette carries: they start from 0.
        decoder: `mean` returns z_t, `regression` one projected prediction. `diffusion` steps from t
            to 0: predict, project, add the residual of the next finer state, a part of it as new
            noise (cold diffusion after Bansal et al. 2022); from state 0 on it is `regression`.
        noise: of `load_reverse`, over the training data.
        seed: of the noise, which is generated on the CPU.
    """
    channels = None if network is None else network.latent
    start = state.latent(channels).astype(np.float32) / np.float32(SCALE)
    if decoder == "mean":
        return start
    assert network is not None, f"{decoder} needs the network"
    if decoder == "regression" or state.state <= 0:
        return project(_predict(network, start, state.state, device), state)
    generator = torch.Generator().manual_seed(seed)
    current = start
    for level in range(state.state, -1, -1):
        estimate = project(_predict(network, current, level, device), state)
        if level == 0:
            break
        residual = (current - estimate) / np.float32(np.sqrt(noise[level]))
        drawn = torch.randn(current.shape, generator=generator).numpy()
        mixed = KEEP * residual + np.float32(np.sqrt(1 - KEEP**2)) * drawn
        current = estimate + np.float32(np.sqrt(noise[level - 1])) * mixed
    return estimate


def project(latent: Floats, state: State) -> Floats:
    """Shift the cells of every palette entry together, so that their mean is the entry's value.

    Channels that the palette does not carry stay as they are. A refinement state bounds every
    coefficient instead.
    """
    if (bounds := state.bounds) is not None:
        low, high = (bound / np.float32(SCALE) for bound in bounds)
        return np.clip(latent, low, high).astype(np.float32)
    labels = state.labels.ravel().astype(np.int64)
    entries, channels = state.palette.shape
    counts = np.maximum(np.bincount(labels, minlength=entries), 1)
    out = latent.copy()
    for channel in range(channels):
        values = latent[:, :, channel].ravel()
        mean = np.bincount(labels, values.astype(np.float64), entries) / counts
        shift = state.palette[:, channel] / SCALE - mean
        out[:, :, channel] = (values + shift[labels]).reshape(latent.shape[:2])
    return out


def _predict(network: ReverseNetwork, latent: Floats, level: int, device: str) -> Floats:
    """One evaluation of R, in tiles where the latent is large."""
    height, width = latent.shape[:2]
    out = np.empty_like(latent)

    def run(rows: slice, columns: slice) -> Floats:
        part = np.ascontiguousarray(latent[rows, columns].transpose(2, 0, 1)[None])
        values = torch.from_numpy(part).to(device, memory_format=torch.channels_last)
        states = torch.tensor([level], device=device)
        result: Floats = network(values, states)[0].cpu().numpy()
        return result

    with torch.inference_mode():
        cut = tiles(height, width, LATENT_WHOLE, LATENT_TILE)
        for rows, columns, strip in in_tiles((height, width), cut, run, 1):
            out[rows, columns] = strip.transpose(1, 2, 0)
    return out
