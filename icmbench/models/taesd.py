"""The tiny autoencoders of the TAESD family, in their published form: two files of tensors.

    encoder: image in [0, 1] -> conv, blocks, 3 x (conv of stride 2, blocks), conv -> latent at 1/8
    decoder: latent -> 3 tanh(z/3), conv, 3 x (blocks, enlargement, conv), blocks, conv -> image

A block is a residual of three 3 x 3 convolutions. In some networks of the family (TAEF2) the blocks
at the latent's resolution first add a branch whose group normalisation takes its statistics from
the whole latent: a tile then differs a little from the same place of the whole image.

Networks and tensors: https://github.com/madebyollin/taesd (MIT). The names of the tensors count the
layers, those without tensors too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import nn

from icmbench.core.errors import ModelError
from icmbench.models.posterior import Decoded, Encoded, Point
from icmbench.models.settings import NetworkSettings

POOL_GROUPS: Final = 4  # of the branch's normalisation
MAGNITUDE: Final = 3.0  # the decoder's latent is limited to it, softly
LEVELS: Final = 4  # resolutions: 1 to 1/8

Shape = tuple[int, ...]


@dataclass(frozen=True)
class TaesdSettings(NetworkSettings):
    """Size of the networks.

    Attributes:
        latent: channels of the latent.
        width: channels of all layers between.
        encoder: blocks per resolution, 1 to 1/8.
        decoder: blocks per resolution, 1/8 to 1.
        pool: channels of the branch at the latent's resolution; 0: no branch.
    """

    latent: int
    width: int
    encoder: tuple[int, ...]
    decoder: tuple[int, ...]
    pool: int

    def __post_init__(self) -> None:
        if len(self.encoder) != LEVELS or len(self.decoder) != LEVELS:
            raise ValueError(f"blocks of {LEVELS} resolutions, not {self.encoder}, {self.decoder}")


class Block(nn.Module):
    """Residual of three convolutions, `relu(conv(x) + x)`; with a branch, of `x + pool(x)`."""

    def __init__(self, width: int, pool: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )
        self.pool: nn.Module | None = None
        if pool:
            self.pool = nn.Sequential(
                nn.Conv2d(width, pool, 1, bias=False),
                nn.GroupNorm(POOL_GROUPS, pool),
                nn.ReLU(),
                nn.Conv2d(pool, width, 1, bias=False),
            )

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(n, C, h, w) to the same shape."""
        if self.pool is not None:
            values = values + self.pool(values)
        return torch.relu(self.conv(values) + values)


class _Limit(nn.Module):
    """Limit of a latent's magnitude."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.tanh(values / MAGNITUDE) * MAGNITUDE


class Taesd(nn.Module):
    """Encoder and decoder, with the interface of diffusers' `AutoencoderKL`.

    Attributes:
        config: `latent_channels`, as diffusers' networks have it.
    """

    def __init__(self, settings: TaesdSettings) -> None:
        super().__init__()
        self.config = {"latent_channels": settings.latent}
        width, last = settings.width, LEVELS - 1
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1)]
        for level, count in enumerate(settings.encoder):
            if level:
                layers.append(nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False))
            layers += [Block(width, settings.pool if level == last else 0) for _ in range(count)]
        self.encoder = nn.Sequential(*layers, nn.Conv2d(width, settings.latent, 3, padding=1))
        layers = [_Limit(), nn.Conv2d(settings.latent, width, 3, padding=1), nn.ReLU()]
        for level, count in enumerate(settings.decoder):
            if level:
                layers.append(nn.Upsample(scale_factor=2))
                layers.append(nn.Conv2d(width, width, 3, padding=1, bias=False))
            layers += [Block(width, 0 if level else settings.pool) for _ in range(count)]
        self.decoder = nn.Sequential(*layers, nn.Conv2d(width, 3, 3, padding=1))

    def encode(self, pixels: torch.Tensor) -> Encoded:
        """The latent, (n, C, h/8, w/8), of images (n, 3, h, w) in [-1, 1]."""
        return Encoded(Point(self.encoder((pixels + 1) / 2)))

    def decode(self, latent: torch.Tensor) -> Decoded:
        """Images in [-1, 1], (n, 3, 8h, 8w), of latents (n, C, h, w)."""
        return Decoded(self.decoder(latent) * 2 - 1)


def build_taesd(settings: TaesdSettings) -> Taesd:
    """A network; its weights are to be loaded."""
    return Taesd(settings)


def taesd_settings(shapes: Mapping[str, Shape]) -> TaesdSettings:
    """Sizes of the network whose tensors have these shapes, by name (`encoder.` or `decoder.`).

    Raises ModelError where they are not those of the family; the tensors are to be compared with
    the network's afterwards.
    """
    encoder, decoder = _layers(shapes, "encoder"), _layers(shapes, "decoder")
    pools = [s[0] for name, s in shapes.items() if name.endswith(".pool.0.weight") and s]
    try:
        width = shapes["encoder.0.weight"][0]
        latent = shapes["decoder.1.weight"][1]
    except (KeyError, IndexError):
        text = "encoder 0.weight and decoder 1.weight are missing or no convolutions"
        raise ModelError(f"not a network of the TAESD family: {text}") from None
    counts = _blocks(encoder), _blocks(decoder)
    if any(len(found) != LEVELS for found in counts):
        found = " and ".join(str(len(each)) for each in counts)
        text = f"{found} resolutions of encoder and decoder, expected {LEVELS} (a latent at 1/8)"
        raise ModelError(f"not a network of the TAESD family: {text}")
    return TaesdSettings(latent, width, *counts, pool=max(pools, default=0))


def _layers(shapes: Mapping[str, Shape], side: str) -> list[bool]:
    """Per layer with tensors, in order, whether it is a block."""
    found: dict[int, bool] = {}
    for name in shapes:
        if match := re.fullmatch(rf"{side}\.([0-9]+)\.(conv\.|pool\.|)[0-9.]*(weight|bias)", name):
            number = int(match[1])
            found[number] = found.get(number, False) or bool(match[2])
    return [found[number] for number in sorted(found)]


def _blocks(layers: list[bool]) -> tuple[int, ...]:
    """Numbers of blocks between the convolutions: one per resolution."""
    counts: list[int] = []
    for block in layers:
        if not block:
            counts.append(0)
        elif counts:
            counts[-1] += 1
    return tuple(counts[:-1])  # none come after the last convolution
