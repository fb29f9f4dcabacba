"""The bundled autoencoder: principal components of 8 x 8 blocks, corrected by convolutions.

    encode  pixels (n, 3, 8h, 8w) -> analysis of each block (n, C, h, w) + correction of a network
    decode  latent (n, C, h, w) -> synthesis of each block (n, 3, 8h, 8w) + correction of a network

Analysis and synthesis start as the C leading principal components of the blocks, which are
orthonormal: a squared distance of two latents is about the squared error of their images, and the
channels come in the order of their variance. The networks start at zero. There are no norms: the
result at a cell depends on its neighbourhood alone, whatever the size of the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from icmbench.models.latent import CELL
from icmbench.models.posterior import Decoded, Encoded, Point
from icmbench.models.settings import NetworkSettings

COLOURS: Final = 3
VALUES: Final = COLOURS * CELL**2  # of a block
# The networks see the latent in units of this many standard deviations of an average channel, and
# give the correction of the latent in the same unit: their weights then start at a usual size.
LATENT_UNIT: Final = 4.0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BlockSettings(NetworkSettings):
    """Size of the network.

    Attributes:
        latent: channels of the latent.
        encoder: channels of the encoder's correction, at 1/4 and 1/8 of the image.
        decoder: channels of the decoder's correction, at 1/8, 1/4 and 1/2.
        blocks: its residual blocks at these sizes.
    """

    latent: int = 16
    encoder: tuple[int, ...] = (64, 96)
    decoder: tuple[int, ...] = (160, 80, 48)
    blocks: tuple[int, ...] = (4, 2, 2)

    def __post_init__(self) -> None:
        sizes = {"encoder": (self.encoder, 2), "decoder": (self.decoder, 3)}
        sizes["blocks"] = (self.blocks, 3)
        for name, (values, count) in sizes.items():
            if len(values) != count or min(values) < 1:
                raise ValueError(f"{name} {values}: {count} positive whole numbers are needed")
        if not 1 <= self.latent <= VALUES:
            raise ValueError(f"latent {self.latent}: from 1 to {VALUES}")


class Residual(torch.nn.Module):
    """x + two convolutions of x; starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(channels, channels, 3, padding=1)
        self.second = torch.nn.Conv2d(channels, channels, 3, padding=1)
        _zero(self.second)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Values (n, C, h, w)."""
        inner = self.first(functional.relu(values))
        changed: torch.Tensor = values + self.second(functional.relu(inner))
        return changed


class BlockAutoencoder(torch.nn.Module):
    """The network, with the interface of diffusers' `AutoencoderKL`.

    Attributes:
        config: `latent_channels`.
        analysis, synthesis: 1 x 1 convolutions between the values of a block and its latent.
        encoder, decoder: the corrections.
    """

    def __init__(self, settings: BlockSettings) -> None:
        super().__init__()
        self.config = {"latent_channels": settings.latent}
        self.analysis = torch.nn.Conv2d(VALUES, settings.latent, 1)
        self.synthesis = torch.nn.Conv2d(settings.latent, VALUES, 1)
        self.encoder = _encoder(settings)
        self.decoder = _decoder(settings)

    def encode(self, pixels: torch.Tensor) -> Encoded:
        """The latent, (n, C, h/8, w/8), of images (n, 3, h, w) in [-1, 1]."""
        linear = self.analysis(functional.pixel_unshuffle(pixels, CELL))
        return Encoded(Point(linear + LATENT_UNIT * self.encoder(pixels)))

    def decode(self, latent: torch.Tensor) -> Decoded:
        """Images in [-1, 1], (n, 3, 8h, 8w), of latents (n, C, h, w)."""
        linear = functional.pixel_shuffle(self.synthesis(latent), CELL)
        return Decoded(linear + self.decoder(latent / LATENT_UNIT))


def build_blocks(
    settings: BlockSettings, seed: int, components: tuple[Floats, Floats] | None = None
) -> BlockAutoencoder:
    """An untrained network.

    Args:
        seed: of the weights of the corrections, whose last layers are zero.
        components: rows float64 (C, 192), orthonormal, and the mean block (192,), see
            `principal_components`; None: the weights are to be loaded.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = BlockAutoencoder(settings)
    if components is not None:
        rows, mean = components[0][: settings.latent], components[1]
        _set(network.analysis, rows, -rows @ mean)
        _set(network.synthesis, rows.T, mean)
    return network


def block_values(pixels: torch.Tensor) -> torch.Tensor:
    """The blocks of an image (1, 3, 8h, 8w) as vectors, (h w, 192), in the order of `analysis`."""
    return functional.pixel_unshuffle(pixels, CELL)[0].flatten(1).T


def scale_channels(network: BlockAutoencoder, factors: Floats) -> None:
    """Multiply the channels of the latent by factors, (C,), and leave every image as it is."""
    times = torch.from_numpy(factors).float()
    last = f"encoder.{len(network.encoder) - 1}"
    state = network.state_dict()  # its tensors are those of the network
    for name in ("analysis", last):
        state[f"{name}.weight"].mul_(times[:, None, None, None])
        state[f"{name}.bias"].mul_(times)
    for name in ("synthesis", "decoder.0"):
        state[f"{name}.weight"].div_(times[:, None, None])


def _encoder(settings: BlockSettings) -> torch.nn.Sequential:
    fine, coarse = settings.encoder
    last = torch.nn.Conv2d(coarse, settings.latent, 3, padding=1)
    _zero(last)
    return torch.nn.Sequential(
        torch.nn.PixelUnshuffle(4),
        torch.nn.Conv2d(16 * COLOURS, fine, 3, padding=1),
        Residual(fine),
        Residual(fine),
        torch.nn.ReLU(),
        torch.nn.PixelUnshuffle(2),
        torch.nn.Conv2d(4 * fine, coarse, 1),
        Residual(coarse),
        Residual(coarse),
        torch.nn.ReLU(),
        last,
    )


def _decoder(settings: BlockSettings) -> torch.nn.Sequential:
    widths, blocks = settings.decoder, settings.blocks
    layers: list[torch.nn.Module] = [torch.nn.Conv2d(settings.latent, widths[0], 3, padding=1)]
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        layers += [Residual(width) for _ in range(count)]
        layers.append(torch.nn.ReLU())
        if stage + 1 < len(widths):
            layers += [torch.nn.Conv2d(width, 4 * widths[stage + 1], 1), torch.nn.PixelShuffle(2)]
    last = torch.nn.Conv2d(widths[-1], 4 * COLOURS, 3, padding=1)
    _zero(last)
    return torch.nn.Sequential(*layers, last, torch.nn.PixelShuffle(2))


def _zero(layer: torch.nn.Conv2d) -> None:
    torch.nn.init.zeros_(layer.weight)
    assert layer.bias is not None, "the layer has a bias"
    torch.nn.init.zeros_(layer.bias)


def _set(layer: torch.nn.Conv2d, weight: Floats, bias: Floats) -> None:
    assert layer.bias is not None, "the layer has a bias"
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight)[:, :, None, None])
        layer.bias.copy_(torch.from_numpy(bias))
