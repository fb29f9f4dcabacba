"""Leading directions of an imported latent: a principal component analysis over the training data.

Components of the latent itself say little about the image: TAEF2's first one has 13 % of the
variance, and the image of it alone is worse than that of the mean colours. By default the analysis
is therefore that of H (z - mean): H^2 is the mean of J^T J over cells, J the derivative of the
decoded pixels by a cell's channels. A squared distance of two latents is then, to first order, the
squared error of the decoded images.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.codecs.mpd.training.centre_crops import centre_crops
from icmbench.training.data import TrainingData

if TYPE_CHECKING:
    from icmbench.models.latent_autoencoder import LatentNetwork

IMAGE: Final = "image"  # the inner product of squared errors of decoded images
LATENT: Final = "latent"  # that of the latent as it is: an orthonormal rotation
METRICS: Final = (IMAGE, LATENT)
IMAGES: Final = 32  # evenly spaced, that the decoder's derivative is measured on
SIDE: Final = 128  # pixels of their centre crops
PROBES: Final = 2  # random directions in the space of pixels, per crop
FLOOR: Final = 1e-4  # share of the mean sensitivity, below which a direction has no effect

Floats = NDArray[np.float64]


def find_directions(
    latents: Iterable[NDArray[np.float32]], sensitivity: Floats
) -> tuple[NDArray[np.float32], Floats]:
    """Directions of a latent, most important first, and the share of the variance of each.

    Args:
        latents: (C, cells) each.
        sensitivity: (C, C), the squared length of a change v of a cell is v^T `sensitivity` v.

    Returns:
        float32 (C, C), a direction a row: the channel of the new latent is its product with the
        old one. float64 (C,), shares.
    """
    values, vectors = np.linalg.eigh(sensitivity)
    root = (vectors * np.sqrt(np.maximum(values, FLOOR * values.mean()))) @ vectors.T
    shares, axes = np.linalg.eigh(root @ _covariance(latents) @ root)
    axes = axes[:, ::-1].T  # ascending
    # The sign of an eigenvector is not defined: its largest component is made positive.
    largest = np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], axis=1)
    return (np.sign(largest) * axes @ root).astype(np.float32), shares[::-1] / shares.sum()


def _covariance(latents: Iterable[NDArray[np.float32]]) -> Floats:
    count, total, products = 0, np.zeros(()), np.zeros(())
    for latent in latents:
        cells = latent.astype(np.float64)
        count += cells.shape[1]
        total = total + cells.sum(1)
        products = products + cells @ cells.T
    mean = total / count
    return np.asarray(products / count - np.outer(mean, mean))


def decoder_sensitivity(data: TrainingData, network: LatentNetwork) -> Floats:
    """The mean of J^T J over the cells of training images, float64 (C, C).

    For a vector v of random signs, the mean of (J^T v)(J^T v)^T is J^T J (Hutchinson's estimator):
    every probe costs one derivative of the decoder. Signs are drawn on the CPU, from a fixed seed.
    """
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(0)
    total, count = np.zeros(()), 0
    for crop in centre_crops(data, SIDE, IMAGES):
        with torch.no_grad():
            latent = network.encode(crop.to(device)).latent_dist.mode()
        latent.requires_grad_(True)
        shown = network.decode(latent).sample
        for probe in range(PROBES):
            signs = torch.randint(2, shown.shape, generator=generator).mul_(2).sub_(1)
            (change,) = torch.autograd.grad(
                shown, latent, signs.to(shown), retain_graph=probe < PROBES - 1
            )
            cells = change[0].flatten(1).double().cpu().numpy()
            total, count = total + cells @ cells.T, count + cells.shape[1]
    return np.asarray(total / count)
