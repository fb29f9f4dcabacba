"""The start of an untrained codec, which a few images decide."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from icmbench.codecs.diff_icmh.networks.lfgcm import Lfgcm
from icmbench.codecs.diff_icmh.networks.transforms import BLOCK, BlockTransform
from icmbench.codecs.diff_icmh.training.losses import LossWeights, standardised_latent
from icmbench.core.errors import ConfigError
from icmbench.models.latent_autoencoder import LatentAutoencoder
from icmbench.training.data import TrainingData

INITIAL_STD: Final = 1.5  # standard deviation of y and z at the start, in quantisation steps
CROPS: Final = 8
MORE_CROPS: Final = 64  # of which principal components are taken
UNWEIGHTED: Final = LossWeights()


def calibrate(
    lfgcm: Lfgcm,
    model: LatentAutoencoder,
    pixels: NDArray[np.float32],
    weights: LossWeights = UNWEIGHTED,
) -> None:
    """Scale the last layers of an untrained codec: y and z start with std `INITIAL_STD`.

    The usual initialisation lets both round to zero everywhere: nothing is coded, the decoder
    learns to do without, and the rate's loss keeps it so. With a linear transform the codec starts
    as that transform alone, and its step follows from the weights.

    Args:
        pixels: `first_crops`, float32 (n, 3, H, W) in [-1, 1].
        weights: of the loss; without a linear transform they have no effect.

    Raises ConfigError where a linear transform has fewer values than y channels.
    """
    batch = torch.from_numpy(pixels)
    device = next(model.network.parameters()).device
    latent = standardised_latent(model, batch.to(device)).cpu()
    last = len(lfgcm.adapters.gain_y) - 1 if lfgcm.adapters is not None else None
    with torch.no_grad():
        if lfgcm.linear is not None:
            step = step_of(weights, lfgcm.settings.out_channels)
            start_components(lfgcm.linear, latent, step)
            for layer in (lfgcm.g_a.g_a6, lfgcm.g_s.g_s4):
                layer.weight.zero_()
                assert layer.bias is not None
                layer.bias.zero_()
        layers = [(lfgcm.h_a.h_a9, 1)]
        for layer, index in layers if lfgcm.linear is not None else [(lfgcm.g_a.g_a6, 0), *layers]:
            found = lfgcm.analyse((batch + 1) / 2, latent, last)[index]
            # Per channel, over positions: a constant channel carries no information.
            std = found.std((0, 2, 3)).clamp(min=1e-6)
            mean = found.mean((0, 2, 3))
            layer.weight.mul_((INITIAL_STD / std)[:, None, None, None])
            assert layer.bias is not None
            layer.bias.sub_(mean).mul_(INITIAL_STD / std)


def step_of(weights: LossWeights, channels: int) -> float:
    """The quantisation step of a principal component at the highest rate, in the latent's scale.

    A component's squared error D falls with its bits R as 2^(-2 R) and is step^2 / 12, so it has
    the slope -2 ln(2) step^2 / 12. In the loss D counts once per value of the latent and R once per
    pixel, of which a value of the latent has `64 / channels`.
    """
    slope = weights.lambda_rate[-1] / weights.lambda_c * channels / 64
    return math.sqrt(12 * slope / (2 * math.log(2)))


def start_components(linear: BlockTransform, latents: Tensor, step: float) -> None:
    """Set a linear transform to the principal components of latents (n, C, h, w), over a step."""
    blocks = functional.pixel_unshuffle(latents, BLOCK).double().transpose(0, 1).flatten(1)
    channels = linear.analysis.out_channels
    if channels > len(blocks):
        raise ConfigError(
            f"training.diff_icmh.lfgcm.latent: {channels}, a linear transform has {len(blocks)}"
        )
    mean = blocks.mean(1)
    _, vectors = torch.linalg.eigh(torch.cov(blocks))  # ascending
    rows = vectors.flip(1).T[:channels]
    rows = rows * rows.gather(1, rows.abs().argmax(1, keepdim=True)).sign()
    assert linear.analysis.bias is not None
    assert linear.synthesis.bias is not None
    linear.analysis.weight.copy_((rows / step)[:, :, None, None])
    linear.analysis.bias.copy_(-rows @ mean / step)
    linear.synthesis.weight.copy_((rows.T * step)[:, :, None, None])
    linear.synthesis.bias.copy_(mean)


def first_crops(lfgcm: Lfgcm, data: TrainingData, crop: int) -> NDArray[np.float32]:
    """Crops of the training data that an untrained codec starts from."""
    count = CROPS if lfgcm.linear is None else MORE_CROPS
    return data.crops(np.random.default_rng(0), count, crop)
