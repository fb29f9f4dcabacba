"""The reverse process: from a palette state back to the latent (DESIGN 5f).

A network R predicts the finest latent from a coarser state, `z_0 ~ z_t + R(z_t, t)`. The prediction
is projected so that the mean over the cells of every palette entry equals its value in the stream.
The original latent has this property, so the projection never increases the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from diffusers import UNet2DModel
from numpy.typing import NDArray

from icmbench.codecs.mpd.palette.hierarchy import STATES
from icmbench.codecs.mpd.stream.coder import State
from icmbench.core.errors import ModelError
from icmbench.models.latent import LATENT_TILE, LATENT_WHOLE, SCALE, in_tiles, tiles
from icmbench.models.norms import fixed_norms
from icmbench.models.settings import NetworkSettings
from icmbench.models.tensors import load_built

KEEP: Final = 0.6  # share of the old residual in a step of `diffusion`; the rest is fresh noise

Floats = NDArray[np.float32]
Noise = NDArray[np.float64]  # of no dimension, or (C,)


@dataclass(frozen=True)
class ReverseSettings(NetworkSettings):
    """Size of the network R.

    Attributes:
        latent: channels of the latent.
        channels: at 1/8 and 1/16 of the image.
        layers: residual blocks per resolution.
    """

    latent: int = 4
    channels: tuple[int, ...] = (48, 80)
    layers: int = 1


def build_reverse(settings: ReverseSettings, seed: int) -> UNet2DModel:
    """An untrained network; its last layer is zero, so that it starts as the identity."""
    blocks = len(settings.channels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet2DModel(
            in_channels=settings.latent,
            out_channels=settings.latent,
            block_out_channels=settings.channels,
            layers_per_block=settings.layers,
            down_block_types=("DownBlock2D",) * blocks,
            up_block_types=("UpBlock2D",) * blocks,
            norm_num_groups=4,
            add_attention=False,
        )
    fixed_norms(network)
    torch.nn.init.zeros_(network.conv_out.weight)
    torch.nn.init.zeros_(network.conv_out.bias)
    return network


def load_reverse(path: Path, channels: int) -> tuple[UNet2DModel, list[Noise]]:
    """The network of a weight file, and the mean squared error of z_t per state.

    The error is one number per state, or one per channel where the channels' variances differ.

    Args:
        channels: of the latent.

    Raises ModelError naming the file and what is missing or wrong in it.
    """
    network, _, metadata = load_built(path, ReverseSettings, build_reverse, channels)
    try:
        noise: list[Noise] = [np.asarray(value, np.float64) for value in metadata["noise"]]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{path}: its metadata is incomplete: {error}") from error
    shapes = {value.shape for value in noise}
    positive = all((value > 0).all() for value in noise)
    if len(noise) != STATES or shapes not in ({()}, {(channels,)}) or not positive:
        raise ModelError(f"{path}: 'noise' is not one positive number per state (and channel)")
    return network, noise


def predict(network: UNet2DModel, latent: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """The prediction of z_0, (n, C, h, w), from z_t and the states t, (n,).

    Sides are padded to multiples of the network's coarsest cell.
    """
    height, width = latent.shape[2:]
    block = 1 << (len(network.config["block_out_channels"]) - 1)
    padded = torch.nn.functional.pad(latent, (0, -width % block, 0, -height % block), "replicate")
    change: torch.Tensor = network(padded, level).sample[:, :, :height, :width].float()
    return latent + change


def reverse(
    network: UNet2DModel | None,
    state: State,
    decoder: str,
    noise: Sequence[Noise],
    seed: int,
    device: str = "cpu",
) -> Floats:
    """The latent that a decoder makes of a state, float32 (h, w, C), in standard deviations.

    Args:
        network: R; the decoder `mean` needs none. Its latent may have more channels than the
            palette carries: they start from 0.
        decoder: `mean` returns z_t, `regression` one projected prediction. `diffusion` steps from t
            to 0: predict, project, add the residual of the next finer state, a part of it as new
            noise (cold diffusion after Bansal et al. 2022).
        noise: of `load_reverse`, over the training data.
        seed: of the noise, which is generated on the CPU.
    """
    channels = None if network is None else int(network.config["in_channels"])
    start = state.latent(channels).astype(np.float32) / np.float32(SCALE)
    if decoder == "mean":
        return start
    assert network is not None, f"{decoder} needs the network"
    if decoder == "regression":
        return project(_predict(network, start, state.state, device), state)
    generator = torch.Generator().manual_seed(seed)
    current = start
    for level in range(state.state, -1, -1):
        estimate = project(_predict(network, current, level, device), state)
        if level == 0:
            break
        residual = (current - estimate) / np.float32(np.sqrt(noise[level]))
        drawn = torch.randn(current.shape, generator=generator).numpy()
        mixed = KEEP * residual + np.float32(np.sqrt(1 - KEEP**2)) * drawn
        current = estimate + np.float32(np.sqrt(noise[level - 1])) * mixed
    return estimate


def project(latent: Floats, state: State) -> Floats:
    """Shift the cells of every palette entry together, so that their mean is the entry's value.

    Channels that the palette does not carry stay as they are.
    """
    labels = state.labels.ravel().astype(np.int64)
    entries, channels = state.palette.shape
    counts = np.maximum(np.bincount(labels, minlength=entries), 1)
    out = latent.copy()
    for channel in range(channels):
        values = latent[:, :, channel].ravel()
        mean = np.bincount(labels, values.astype(np.float64), entries) / counts
        shift = state.palette[:, channel] / SCALE - mean
        out[:, :, channel] = (values + shift[labels]).reshape(latent.shape[:2])
    return out


def _predict(network: UNet2DModel, latent: Floats, level: int, device: str) -> Floats:
    """One evaluation of R, in tiles where the latent is large."""
    height, width = latent.shape[:2]
    out = np.empty_like(latent)

    def run(rows: slice, columns: slice) -> Floats:
        part = np.ascontiguousarray(latent[rows, columns].transpose(2, 0, 1)[None])
        values = torch.from_numpy(part).to(device, memory_format=torch.channels_last)
        states = torch.tensor([level], device=device)
        result: Floats = predict(network, values, states)[0].cpu().numpy()
        return result

    with torch.inference_mode():
        cut = tiles(height, width, LATENT_WHOLE, LATENT_TILE)
        for rows, columns, strip in in_tiles((height, width), cut, run, 1):
            out[rows, columns] = strip.transpose(1, 2, 0)
    return out
