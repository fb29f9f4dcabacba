"""The autoencoder of a model folder: the network and the statistics of its latent, read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import ModelError
from icmbench.models.latent import LIMIT, SCALE
from icmbench.models.tensors import load_network, make_network

if TYPE_CHECKING:  # the workflow reads names and digests without loading torch
    from icmbench.models.diffusers_networks import AutoencoderKL

MOST_RANGE = 1024  # standard deviations: float32 still tells 1/8192 of one apart there
PUBLISHED = "diffusers-kl"  # `layout` of an imported autoencoder: diffusers' own, whole


@dataclass(frozen=True)
class ImageModel:
    """An autoencoder, read from its file; the other attributes are those of `Model`.

    Attributes:
        limit: largest magnitude of the latent that a codec is guided by, in 1/8192 standard
            deviations; `latent_range` of the metadata in whole standard deviations.
    """

    autoencoder: AutoencoderKL
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    metadata: dict[str, Any]
    limit: int


def load_image_model(path: Path) -> ImageModel:
    """The autoencoder of a file: the small kind, or a published one that was imported.

    Raises ModelError naming file and tensor where something is missing or wrong.
    """
    from icmbench.models.autoencoder import AutoencoderSettings, build_autoencoder, build_published

    state, metadata = load_network(path)

    def build(settings: Any) -> AutoencoderKL:
        if metadata.get("layout") == PUBLISHED:
            return build_published(settings)
        return build_autoencoder(AutoencoderSettings.read(settings), seed=0)

    try:
        settings = metadata["network"]
        with np.errstate(over="ignore"):  # what is beyond float32 is refused below
            mean, std = (np.asarray(metadata[key], np.float32) for key in ("mean", "std"))
        # Without a range of its own a model is of the integers of MPD.
        limit = metadata["latent_range"] * SCALE if "latent_range" in metadata else LIMIT
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{path}: its metadata is incomplete: {error}") from error
    network = make_network(path, state, settings, build)
    channels = int(network.config["latent_channels"])
    finite = np.isfinite(mean).all() and np.isfinite(std).all()
    if mean.shape != (channels,) or std.shape != mean.shape or not (std > 0).all() or not finite:
        raise ModelError(f"{path}: mean and std are not those of {channels} channels")
    if type(limit) is not int or not SCALE <= limit <= MOST_RANGE * SCALE:
        text = f"latent_range is {metadata['latent_range']!r}, not a whole number"
        raise ModelError(f"{path}: {text} from 1 to {MOST_RANGE}")
    network.eval().requires_grad_(False)
    return ImageModel(network, mean, std, metadata, limit)
