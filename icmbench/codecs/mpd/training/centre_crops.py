"""Centre crops of the training data, their latents, and statistics of these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.core.errors import ModelError
from icmbench.training.data import TrainingData

if TYPE_CHECKING:
    from icmbench.models.latent_autoencoder import LatentNetwork


def latent_statistics(
    latents: Iterable[NDArray[np.float32]], remedy: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation (population) of every channel of latents, (channels) each.

    Args:
        latents: (channels, cells) each.
        remedy: of a collapsed channel.

    Raises ModelError where a channel is constant: the network was not trained.
    """
    count, total, squares = 0, np.zeros(()), np.zeros(())
    for latent in latents:
        cells = latent.astype(np.float64)
        count += cells.shape[1]
        total = total + cells.sum(1)
        squares = squares + (cells**2).sum(1)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    if not (std > 1e-6).all():
        text = f"latent channel collapsed: standard deviations {std.tolist()}"
        raise ModelError(f"{text}; {remedy}")
    return mean, std


def centre_latents(
    data: TrainingData, network: LatentNetwork, *, size: int = 256, most: int = 2048
) -> Iterator[NDArray[np.float32]]:
    """Latents (the posterior's means) of centre crops, (channels, cells) each.

    Crops are at most `size` pixels a side and a multiple of 8, of at most `most` images that lie
    evenly in the training data.
    """
    device = next(network.parameters()).device
    for crop in centre_crops(data, size, most):
        with torch.no_grad():
            posterior = network.encode(crop.to(device)).latent_dist
        latent: NDArray[np.float32] = posterior.mode()[0].flatten(1).cpu().numpy()
        yield latent


def centre_crops(data: TrainingData, size: int, most: int) -> Iterator[torch.Tensor]:
    """Centre crops of `centre_latents`, (1, 3, side, side) in [-1, 1] each."""
    stride = -(-len(data.images) // most)
    for image in data.images[::stride]:
        height, width = image.shape[:2]
        side = min(size, height // 8 * 8, width // 8 * 8)
        top, left = (height - side) // 2, (width - side) // 2
        crop = image[top : top + side, left : left + side].transpose(2, 0, 1)
        yield torch.from_numpy(crop / np.float32(127.5) - np.float32(1))[None]
