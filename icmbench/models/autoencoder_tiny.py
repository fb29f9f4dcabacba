"""diffusers' `AutoencoderTiny` with the interface of its `AutoencoderKL`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import AutoencoderTiny

from icmbench.models.posterior import Decoded, Encoded, Point


class TinyAutoencoder(torch.nn.Module):
    """Encoder and decoder of an `AutoencoderTiny`; its tensors keep their names.

    Attributes:
        config: of the network.
    """

    def __init__(self, network: AutoencoderTiny) -> None:
        super().__init__()
        self.config = network.config
        self.encoder = network.encoder
        self.decoder = network.decoder

    def encode(self, pixels: torch.Tensor) -> Encoded:
        """The latent, (n, C, h/8, w/8), of images (n, 3, h, w) in [-1, 1]."""
        return Encoded(Point(self.encoder(pixels)))

    def decode(self, latent: torch.Tensor) -> Decoded:
        """Images in [-1, 1], (n, 3, 8h, 8w), of latents (n, C, h, w)."""
        return Decoded(self.decoder(latent))


def build_tiny(config: Mapping[str, Any]) -> TinyAutoencoder:
    """A network of diffusers' layout; its weights are to be loaded."""
    return TinyAutoencoder(AutoencoderTiny(**config))
