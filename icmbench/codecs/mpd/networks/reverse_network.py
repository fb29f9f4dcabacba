"""The network R of the reverse process: residual blocks on the latent's grid, for all states.

    z_t (n, C, h, w), state t -> entry convolution -> residual blocks, each with a bias per state
                              -> exit convolution, times the state's error -> correction of z_t

A correction is scaled by the mean error of its state, which falls a hundredfold from the coarsest
to the finest: the network's own output is of one size at all states, and a poor one does little
harm to a fine state. There are no norms: an estimate depends on a cell's neighbourhood alone,
whatever the image's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from icmbench.codecs.mpd.palette.hierarchy import STATES
from icmbench.codecs.mpd.stream.refinement import REFINEMENTS
from icmbench.core.errors import ModelError
from icmbench.models.settings import NetworkSettings
from icmbench.models.tensors import load_built

LEVELS: Final = STATES + REFINEMENTS  # states of a stream
_LEAST_SCALE: Final = 1e-3  # of a channel: one that is nearly constant is not blown up
_LEAST_ERROR: Final = 1e-4  # of a state's channel, so that all are learnt

Noise = NDArray[np.float64]  # of no dimension, or (C,)


@dataclass(frozen=True)
class ReverseSettings(NetworkSettings):
    """Size of the network R.

    Attributes:
        latent: channels of the latent.
        channels: of the blocks.
        blocks: number of residual blocks.
    """

    latent: int = 16
    channels: int = 96
    blocks: int = 6


class LevelBlock(torch.nn.Module):
    """x + two convolutions of x, with a bias per state between them; starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(channels, channels, 3, padding=1)
        self.level = torch.nn.Embedding(LEVELS, channels)
        self.second = torch.nn.Conv2d(channels, channels, 3, padding=1)
        for weight in (self.level.weight, self.second.weight):
            torch.nn.init.zeros_(weight)

    def forward(self, values: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        """Values (n, C, h, w); indices of states (n,)."""
        inner = self.first(functional.relu(values)) + self.level(level)[:, :, None, None]
        changed: torch.Tensor = values + self.second(functional.relu(inner))
        return changed


class ReverseNetwork(torch.nn.Module):
    """The network R; see the module.

    Attributes:
        latent: channels of the latent.
        scale: (C,), deviation of every channel over the training data. Inside the network all
            channels have the deviation 1.
        error: (LEVELS, C), root of the mean squared error of every channel in every state, the
            finest first.
    """

    scale: torch.Tensor
    error: torch.Tensor

    def __init__(self, settings: ReverseSettings) -> None:
        super().__init__()
        self.latent = settings.latent
        self.register_buffer("scale", torch.ones(settings.latent))
        self.register_buffer("error", torch.ones(LEVELS, settings.latent))
        self.entry = torch.nn.Conv2d(settings.latent, settings.channels, 3, padding=1)
        self.blocks = torch.nn.ModuleList(
            LevelBlock(settings.channels) for _ in range(settings.blocks)
        )
        self.exit = torch.nn.Conv2d(settings.channels, settings.latent, 3, padding=1)
        torch.nn.init.zeros_(self.exit.weight)

    def forward(self, latent: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """The latent as estimated, float32 (n, C, h, w), from z_t and its state t, int64 (n,)."""
        level = state + REFINEMENTS
        values = self.entry(latent / self.scale[:, None, None])
        for block in self.blocks:
            values = block(values, level)
        correction = (
            self.error[level][:, :, None, None] * self.exit(functional.relu(values)).float()
        )
        estimate: torch.Tensor = latent + correction
        return estimate


def build_reverse(settings: ReverseSettings, seed: int) -> ReverseNetwork:
    """An untrained network; its last layer is zero, so that it starts as the identity."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ReverseNetwork(settings)
        assert network.exit.bias is not None, "the layer has a bias"
        torch.nn.init.zeros_(network.exit.bias)
    return network


def set_scale(
    network: ReverseNetwork, deviation: NDArray[np.float64], error: NDArray[np.float64]
) -> None:
    """Set deviations (C,) and errors (LEVELS, C), both measured over the training data."""
    for buffer, values, least in (
        (network.scale, deviation, _LEAST_SCALE),
        (network.error, error, _LEAST_ERROR),
    ):
        buffer.copy_(torch.from_numpy(np.maximum(values, least)).half().float())


def load_reverse(path: Path, channels: int) -> tuple[ReverseNetwork, list[Noise]]:
    """The network of a weight file, and the mean squared error of z_t per palette state.

    The error is one number per state, or one per channel where the channels' variances differ.

    Args:
        channels: of the latent.

    Raises ModelError naming the file and what is missing or wrong in it.
    """
    network, _, metadata = load_built(path, ReverseSettings, build_reverse, channels)
    for name in ("scale", "error"):
        if not (getattr(network, name) > 0).all():
            raise ModelError(f"{path}: tensor '{name}' has a value that is not positive")
    try:
        noise: list[Noise] = [np.asarray(value, np.float64) for value in metadata["noise"]]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{path}: its metadata is incomplete: {error}") from error
    shapes = {value.shape for value in noise}
    positive = all((value > 0).all() for value in noise)
    if len(noise) != STATES or shapes not in ({()}, {(channels,)}) or not positive:
        raise ModelError(f"{path}: 'noise' is not one positive number per state (and channel)")
    return network, noise
