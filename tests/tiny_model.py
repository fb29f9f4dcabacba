"""A small, untrained model folder, made in a second: tests of streams use no trained weights."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from conftest import make_picture
from latents import photograph

from icmbench.codecs.mpd.model_folder import AUTOENCODER as OWNER
from icmbench.codecs.mpd.model_folder import NAME, part_file
from icmbench.codecs.mpd.networks.reverse_network import ReverseSettings, build_reverse
from icmbench.codecs.mpd.training.autoencoder import principal_components
from icmbench.codecs.mpd.training.contexts import context_arrays
from icmbench.core.files import sha256_file
from icmbench.models.autoencoder import AutoencoderSettings, build_autoencoder
from icmbench.models.block_autoencoder import BlockAutoencoder, BlockSettings, build_blocks
from icmbench.models.directions import CARRIED
from icmbench.models.tensors import save_arrays, save_network
from icmbench.training.data import TrainingData

Network = TypeVar("Network", bound=torch.nn.Module)

AUTOENCODER = AutoencoderSettings(channels=(8, 8, 8, 8), groups=4)
BLOCKS = BlockSettings(latent=6, encoder=(8, 8), decoder=(8, 8, 8), blocks=(1, 1, 1))
REVERSE = ReverseSettings(latent=4, channels=8, blocks=2)
# Mean and deviation of the untrained latent on pictures of `conftest.make_picture`: near enough.
MEAN, STD = [0.073, -0.027, -0.077, -0.013], [0.013, 0.016, 0.017, 0.039]


def make_tiny_model(models: Path) -> Path:
    """Write `models`/mpd, a whole model folder, and return it."""
    network = build_autoencoder(AUTOENCODER, seed=1)
    with torch.no_grad():  # pictures of some contrast, that tell latents apart
        network.decoder.conv_out.weight.mul_(12)
    metadata = {"network": AUTOENCODER.values(), "mean": MEAN, "std": STD}
    return _make(models, network, metadata, [0.05 * 1.4**t for t in range(8)])


def make_block_model(models: Path) -> Path:
    """The same with an autoencoder of blocks: 6 channels, of which the palette carries 4."""
    metadata = {
        "layout": "blocks",
        "network": BLOCKS.values(),
        CARRIED: 4,
        "mean": [0.0] * BLOCKS.latent,
        "std": [2.0] * BLOCKS.latent,
    }
    noise = [[0.05 * 1.4**t / (1 + channel) for channel in range(6)] for t in range(8)]
    return _make(models, lively_blocks(), metadata, noise)


def lively_blocks() -> BlockAutoencoder:
    """Of principal components of pictures, with corrections that are not zero."""
    images = tuple(make_picture(64, 64, seed) for seed in (11, 12, 13))
    components = principal_components(TrainingData(images, "digest", ()))
    return livened(build_blocks(BLOCKS, seed=1, components=components))


def livened(network: Network) -> Network:
    """The network with values in the layers that start at zero."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in network.parameters():
            if not value.any():
                value.copy_(0.15 * torch.randn(value.shape, generator=generator))
    return network


def _make(
    models: Path, network: torch.nn.Module, metadata: dict[str, Any], noise: list[Any]
) -> Path:
    folder = models / NAME
    folder.mkdir(parents=True)
    save_network(part_file(folder, "autoencoder"), network.state_dict(), metadata)
    owner = {OWNER: sha256_file(part_file(folder, "autoencoder"))}
    settings = replace(REVERSE, latent=len(metadata["mean"]))
    reverse = livened(build_reverse(settings, seed=2))  # or `regression` would be `mean`
    metadata = {"network": settings.values(), "noise": noise, **owner}
    save_network(part_file(folder, "reverse"), reverse.state_dict(), metadata)
    tables = context_arrays([photograph(24, 32, seed) for seed in (1, 2)])
    save_arrays(part_file(folder, "contexts"), tables, owner)
    return folder


@functools.cache
def tiny_models() -> Path:
    """The folder of all models with the tiny one in it; made once a session."""
    models = Path(_folder().name)
    make_tiny_model(models)
    return models


@functools.cache
def tiny_block_models() -> Path:
    """The folder of all models with that of blocks in it; made once a session."""
    models = Path(_folder().name) / "blocks"
    make_block_model(models)
    return models


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Removed when the session ends."""
    return tempfile.TemporaryDirectory(prefix="tiny-model-")
