"""Import of a published autoencoder: its weight file, with statistics over the training data.

The network is not trained. Measured over the training data: mean and standard deviation of the
latent's channels, the share of latent values outside the integer range, and the difference between
tiles and whole images.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.codecs.mpd.model_folder import CHANNEL_LIMIT
from icmbench.codecs.mpd.training.centre_crops import centre_latents, latent_statistics
from icmbench.codecs.mpd.training.directions import IMAGE, decoder_sensitivity, find_directions
from icmbench.core.errors import ModelError
from icmbench.core.versions import package_version
from icmbench.models.directions import CARRIED, TENSOR, DirectedAutoencoder
from icmbench.models.foreign import Foreign, read_foreign
from icmbench.models.latent import CELL, LIMIT, SCALE
from icmbench.models.latent_autoencoder import LatentAutoencoder, build_layout
from icmbench.models.tensors import make_network, save_arrays
from icmbench.models.tile_error import TileError, tile_error
from icmbench.training.data import TrainingData
from icmbench.training.provenance import data_provenance

if TYPE_CHECKING:
    from icmbench.models.latent_autoencoder import LatentNetwork

log = logging.getLogger(__name__)

MAX_CLIPPED: Final = 0.001  # share of latent values outside the integer range
TILED: Final = 8  # images that the difference of tiles is measured on
PROBE: Final = 64  # pixels a side of the image that the network's sizes are checked with


@dataclass(frozen=True)
class Carried:
    """The part of a latent that the palette carries.

    Attributes:
        directions: number of leading directions; 0: the channels as they are, all of them.
        metric: of `METRICS`, whose principal components the directions are.
    """

    directions: int = 0
    metric: str = IMAGE


def import_autoencoder(
    path: Path,
    source: Path,
    data: TrainingData,
    device: str = "cpu",
    carried: Carried = Carried(),
) -> None:
    """Write the weight file `path` of the published autoencoder at `source`.

    Weights keep their number types. The metadata have `layout`, `network`, `mean`, `std` and
    `provenance`, with the shares and differences that were measured. With directions all channels
    have the deviation of the first one, so that they keep their proportions.

    Raises ModelError where a tensor is missing, unknown or wrong, where the latent is not at 1/8 of
    the image or has too many channels, and where more than `MAX_CLIPPED` of its values would be
    clipped.
    """
    foreign = read_foreign(source)
    state = {name: tensor.float() for name, tensor in foreign.tensors.items()}
    network = make_network(
        source, state, foreign.settings, lambda values: build_layout(foreign.layout, values)
    )
    network.eval().requires_grad_(False)
    channels = _check_sizes(source, network)
    network.to(device).to(memory_format=torch.channels_last)
    latents = list(centre_latents(data, network))
    arrays, about = _arrays(foreign), {}
    if carried.directions:
        _check_directions(source, carried.directions, channels)
        analysis, about["directions"] = _directions(source, data, network, latents, carried)
        arrays[TENSOR] = analysis
        network = DirectedAutoencoder(network, analysis).to(device)
        latents = [analysis @ latent for latent in latents]
    mean, std = latent_statistics(latents, f"{source} codes nothing in it: take another one")
    if carried.directions:
        std = np.full_like(std, std[0])
    clipped = clipped_share(latents, mean, std)
    log.info(
        "%s: %d channels; %.4f %% of the latent values are beyond %g standard deviations",
        source, channels, 100 * clipped, (LIMIT + 1) / SCALE,
    )  # fmt: skip
    if clipped > MAX_CLIPPED:
        raise ModelError(
            f"{source}: {100 * clipped:.3g} % of the latent values over the training data are "
            f"beyond {(LIMIT + 1) / SCALE:g} standard deviations and would be clipped, expected "
            f"{100 * MAX_CLIPPED:g} % at most; training.data needs more images of the kind that "
            "this autoencoder was made for, or another autoencoder is to be taken"
        )
    statistics = mean.astype(np.float32), std.astype(np.float32)
    layout = {"layout": foreign.layout}
    model = LatentAutoencoder(source, network, *statistics, layout, LIMIT, channels)
    error = tile_error(model, _spread(data.images, TILED))
    _log_tiles(source, error, model.tiling["whole"])
    provenance = {
        "from": foreign.sources,
        "pool": data_provenance(data),
        "clipped": float(f"{clipped:.4g}"),
        "tiles": error.values(),
        **about,
        "versions": {name: package_version(name) for name in ("torch", "diffusers", "numpy")},
    }
    metadata = _metadata(foreign, mean, std, provenance)
    if carried.directions:
        metadata[CARRIED] = carried.directions
    save_arrays(path, arrays, metadata)


def _check_directions(source: Path, directions: int, channels: int) -> None:
    if directions > channels:
        raise ModelError(
            f"training.mpd.autoencoder.directions is {directions}, but the latent of {source} has "
            f"{channels} channels: at most that"
        )


def _directions(
    source: Path,
    data: TrainingData,
    network: LatentNetwork,
    latents: Sequence[NDArray[np.float32]],
    carried: Carried,
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Directions of the latent, float32 (C, C), and their provenance."""
    channels = latents[0].shape[0]
    by_image = carried.metric == IMAGE
    weights = decoder_sensitivity(data, network) if by_image else np.eye(channels)
    analysis, shares = find_directions(latents, weights)
    share = float(f"{shares[: carried.directions].sum():.4g}")
    log.info(
        "%s: the palette carries %d directions of %d, with %.1f %% of the variance (metric: %s)",
        source, carried.directions, channels, 100 * share, carried.metric,
    )  # fmt: skip
    return analysis, {"metric": carried.metric, "share": share}


def _metadata(
    foreign: Foreign,
    mean: NDArray[np.float64],
    std: NDArray[np.float64],
    provenance: dict[str, Any],
) -> dict[str, Any]:
    return {
        "layout": foreign.layout,
        "network": foreign.settings,
        "mean": mean.tolist(),
        "std": std.tolist(),
        "provenance": provenance,
    }


def _arrays(foreign: Foreign) -> dict[str, NDArray[Any]]:
    return {name: tensor.numpy() for name, tensor in foreign.tensors.items()}


def _check_sizes(source: Path, network: LatentNetwork) -> int:
    """Channels of the latent; ModelError where the codec cannot use the network."""
    cells = PROBE // CELL
    try:
        with torch.inference_mode():
            latent = network.encode(torch.zeros(1, 3, PROBE, PROBE)).latent_dist.mode()
            shown = network.decode(latent).sample
    except RuntimeError as error:
        raise ModelError(f"{source}: the network takes no RGB image: {error}") from error
    if latent.shape[2:] != (cells, cells) or shown.shape[1:] != (3, PROBE, PROBE):
        sizes = f"{tuple(latent.shape[1:])} and back to {tuple(shown.shape[1:])}"
        raise ModelError(
            f"{source}: an image of 3 x {PROBE} x {PROBE} becomes {sizes}; expected a latent at "
            f"1/{CELL} and an image of the same size"
        )
    channels = int(latent.shape[1])
    if channels > CHANNEL_LIMIT:
        raise ModelError(f"{source}: {channels} channels, the codec has {CHANNEL_LIMIT} at most")
    return channels


def clipped_share(
    latents: Iterable[NDArray[np.float32]], mean: NDArray[np.float64], std: NDArray[np.float64]
) -> float:
    """Share of latent values, (channels, cells) each, outside the integer range."""
    count = beyond = 0
    for latent in latents:
        scaled = np.rint((latent - mean[:, None]) / std[:, None] * SCALE)
        beyond += int((np.abs(scaled) > LIMIT).sum())
        count += scaled.size
    return beyond / count


def _spread(images: Sequence[NDArray[np.uint8]], most: int) -> list[NDArray[np.uint8]]:
    """At most so many images, evenly spaced."""
    count = min(most, len(images))
    return [images[index * len(images) // count] for index in range(count)]


def _log_tiles(source: Path, error: TileError, whole: int) -> None:
    if not error.images:
        log.warning("%s: no training image is large enough to compare tiles with", source)
        return
    text = (
        f"{source}: tiles differ from whole images by {error.latent:g} standard deviations of the "
        f"latent and {error.image:g} code values of the image (root mean square, {error.images} "
        "training images)"
    )
    if error.agrees:
        log.info("%s", text)
    else:
        largest = whole * CELL**2 / 1e6
        log.warning("%s: images above %.2g MP are cut, and edges of tiles may show", text, largest)
