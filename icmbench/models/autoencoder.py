"""A small AutoencoderKL: that of the bundled Diff-ICMH."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL

from icmbench.models.norms import fixed_norms
from icmbench.models.settings import NetworkSettings


@dataclass(frozen=True)
class AutoencoderSettings(NetworkSettings):
    """Size of the network.

    Attributes:
        channels: of the four resolutions 1, 1/2, 1/4, 1/8.
        layers: residual blocks per resolution of the encoder (the decoder has one more).
        latent: channels of the latent.
        groups: of the group normalisation.
    """

    channels: tuple[int, ...] = (16, 32, 64, 96)
    layers: int = 1
    latent: int = 4
    groups: int = 8


def build_autoencoder(settings: AutoencoderSettings, seed: int) -> AutoencoderKL:
    """An untrained network whose weights depend on the seed alone.

    No attention (its memory grows with the square of the image) and no quantisation convolutions
    (the decoder's first layer does their work).
    """
    blocks = len(settings.channels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = AutoencoderKL(
            in_channels=3,
            out_channels=3,
            down_block_types=("DownEncoderBlock2D",) * blocks,
            up_block_types=("UpDecoderBlock2D",) * blocks,
            block_out_channels=settings.channels,
            layers_per_block=settings.layers,
            latent_channels=settings.latent,
            norm_num_groups=settings.groups,
            mid_block_add_attention=False,
            use_quant_conv=False,
            use_post_quant_conv=False,
        )
    fixed_norms(network)
    return network


def build_published(config: Mapping[str, Any]) -> AutoencoderKL:
    """A published network of diffusers' own layout."""
    return AutoencoderKL(**config)
