"""The interface of diffusers' `AutoencoderKL` for autoencoders without a distribution.

`network.encode(pixels).latent_dist.mode()` is the latent, `network.decode(latent).sample` the
image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Point:
    """A latent that is certain.

    Attributes:
        values: (n, C, h, w).
    """

    values: torch.Tensor

    def mode(self) -> torch.Tensor:
        """The latent."""
        return self.values


@dataclass(frozen=True)
class Encoded:
    """Result of `encode`."""

    latent_dist: Point


@dataclass(frozen=True)
class Decoded:
    """Result of `decode`; `sample`: images in [-1, 1], (n, 3, H, W)."""

    sample: torch.Tensor
