"""A small, untrained model folder, made in a second: tests of streams use no trained weights."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import torch
from latents import photograph

from icmbench.codecs.mpd.model_folder import AUTOENCODER as OWNER
from icmbench.codecs.mpd.model_folder import NAME, part_file
from icmbench.codecs.mpd.networks.reverse import ReverseSettings, build_reverse
from icmbench.codecs.mpd.training.contexts import context_arrays
from icmbench.core.files import sha256_file
from icmbench.models.autoencoder import AutoencoderSettings, build_autoencoder
from icmbench.models.tensors import save_arrays, save_network

AUTOENCODER = AutoencoderSettings(channels=(8, 8, 8, 8), groups=4)
REVERSE = ReverseSettings(channels=(8, 8))
# Mean and deviation of the untrained latent on pictures of `conftest.make_picture`: near enough.
MEAN, STD = [0.073, -0.027, -0.077, -0.013], [0.013, 0.016, 0.017, 0.039]


def make_tiny_model(models: Path) -> Path:
    """Write `models`/mpd, a whole model folder, and return it."""
    folder = models / NAME
    folder.mkdir(parents=True)
    network = build_autoencoder(AUTOENCODER, seed=1)
    with torch.no_grad():  # pictures of some contrast, that tell latents apart
        network.decoder.conv_out.weight.mul_(12)
    metadata = {"network": AUTOENCODER.values(), "mean": MEAN, "std": STD}
    save_network(part_file(folder, "autoencoder"), network.state_dict(), metadata)
    owner = {OWNER: sha256_file(part_file(folder, "autoencoder"))}
    reverse = build_reverse(REVERSE, seed=2)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():  # the last layer is zero, and `regression` would be `mean`
        weight = reverse.conv_out.weight
        weight.copy_(torch.randn(weight.shape, generator=generator))
    metadata = {"network": REVERSE.values(), "noise": [0.05 * 1.4**t for t in range(8)]}
    metadata |= owner
    save_network(part_file(folder, "reverse"), reverse.state_dict(), metadata)
    tables = context_arrays([photograph(24, 32, seed) for seed in (1, 2)])
    save_arrays(part_file(folder, "contexts"), tables, owner)
    return folder


@functools.cache
def tiny_models() -> Path:
    """The folder of all models with the tiny one in it; made once a session."""
    keep = _folder()
    models = Path(keep.name)
    make_tiny_model(models)
    return models


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Removed when the session ends."""
    return tempfile.TemporaryDirectory(prefix="tiny-model-")
