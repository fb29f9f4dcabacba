"""A small convolutional head: class scores of pixels from a latent at 1/8 of the image's sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch

from icmbench.models.settings import NetworkSettings

STRIDE: Final = 2  # pixels of a score's side: the head enlarges cells of 8 pixels four times
DILATIONS: Final = (1, 2, 4, 8, 1)
_GROUPS: Final = 8


@dataclass(frozen=True)
class HeadSettings(NetworkSettings):
    """Size of the head.

    Attributes:
        latent: channels of the latent.
        channels: of the hidden layers, a multiple of 8.
        classes: names, in the order of the scores.
    """

    latent: int
    channels: int
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.channels < _GROUPS or self.channels % _GROUPS or not self.classes:
            raise ValueError(f"channels={self.channels} is not a multiple of {_GROUPS}")


class LatentHead(torch.nn.Module):
    """Residual blocks with dilated convolutions, and one enlargement by sub-pixel convolution."""

    def __init__(self, settings: HeadSettings) -> None:
        super().__init__()
        width, self.classes = settings.channels, len(settings.classes)
        self.first = torch.nn.Conv2d(settings.latent, width, 3, padding=1)
        self.blocks = torch.nn.ModuleList(_block(width, dilation) for dilation in DILATIONS)
        self.scores = torch.nn.Conv2d(width, self.classes * (8 // STRIDE) ** 2, 3, padding=1)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """Scores (n, classes, 4h, 4w) of latents (n, C, h, w)."""
        features = self.first(latent)
        for block in self.blocks:
            features = features + block(features)
        return torch.nn.functional.pixel_shuffle(self.scores(features), 8 // STRIDE)


def _block(width: int, dilation: int) -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.GroupNorm(_GROUPS, width),
        torch.nn.SiLU(),
        torch.nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation),
        torch.nn.GroupNorm(_GROUPS, width),
        torch.nn.SiLU(),
        torch.nn.Conv2d(width, width, 3, padding=1),
    )


def build_head(settings: HeadSettings, seed: int) -> LatentHead:
    """An untrained head whose weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LatentHead(settings)
