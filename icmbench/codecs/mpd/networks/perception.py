"""The distortion of `distortion=perception`: what a class network makes of an error of the latent.

Moving the latent z by e moves the class network's maps F(D(z)) by J e, to first order, D being the
decoder. For errors that are independent between channels and cells, the expected squared movement
is a weighted squared error: a channel weighs the mean square of its columns of J. They are
estimated by random projections of the maps (as in Hutchinson 1990), one backward pass each.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.codecs.mpd.networks.class_features import LEVELS, class_network, network_input
from icmbench.models.latent import SCALE
from icmbench.models.latent_autoencoder import LatentAutoencoder

PROBES: Final = 4
SIDE: Final = 64  # cells of the largest part of an image that is looked at, from its centre
# Geometric mean of the latent's squared error (0) and the maps' (1).
SHARE: Final = 0.5

Floats = NDArray[np.float64]


def perceptual_metric(model: LatentAutoencoder, latent: NDArray[np.int16]) -> Floats:
    """Weights (C,) of the channels that the palette carries, for an image's latent (h, w, C).

    They keep the latent's variance as it is. Raises ModelError where the class network's package is
    missing.
    """
    found = channel_sensitivity(model, centre(latent))[: model.carried]
    flat = latent.reshape(-1, latent.shape[2])[:, : model.carried].astype(np.float64)
    return balanced(found**SHARE, flat.var(axis=0))


def balanced(weights: Floats, variances: Floats) -> Floats:
    """Weights times the number that leaves the weighted sum of variances as it is.

    All are 1 where no channel varies, or no weight is positive.
    """
    total = float((weights * variances).sum())
    if not 0 < total < math.inf:
        return np.ones_like(weights)
    return weights * (float(variances.sum()) / total)


def centre(latent: NDArray[np.int16]) -> NDArray[np.int16]:
    """The central part of a latent, at most `SIDE` cells a side."""
    starts = [max(0, (side - SIDE) // 2) for side in latent.shape[:2]]
    rows, columns = (slice(start, start + SIDE) for start in starts)
    return np.ascontiguousarray(latent[rows, columns])


def channel_sensitivity(model: LatentAutoencoder, latent: NDArray[np.int16]) -> Floats:
    """Mean squared derivative (C,) of the maps, each of unit variance, by the latent's channels."""
    device = model.device
    statistics = [
        torch.from_numpy(each).to(device)[:, None, None] for each in (model.std, model.mean)
    ]
    values = torch.from_numpy(latent.transpose(2, 0, 1)[None].astype(np.float32) / SCALE).to(device)
    generator = torch.Generator().manual_seed(0)
    found = torch.zeros(latent.shape[2], dtype=torch.float64)
    with torch.enable_grad():
        values.requires_grad_(True)
        decoded = model.network.decode(values * statistics[0] + statistics[1]).sample
        maps = class_network(device).stages(network_input(decoded * 127.5 + 127.5))
        for _ in range(PROBES):
            moved = torch.zeros((), device=device)
            for level in LEVELS:
                drawn = torch.randn(maps[level].shape, generator=generator).to(device)
                scale = float(maps[level].detach().var()) * maps[level].numel()
                moved = moved + (maps[level] * drawn).sum() / math.sqrt(max(scale, 1e-12))
            (slope,) = torch.autograd.grad(moved, values, retain_graph=True)
            found += (slope.detach().double() ** 2).mean(dim=(0, 2, 3)).cpu()
    return np.asarray(found.numpy() / PROBES, np.float64)
