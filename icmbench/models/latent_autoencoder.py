"""The latent autoencoder of a model folder: its network and the statistics of its latent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import ModelError
from icmbench.models.latent import (
    LIMIT,
    SCALE,
    image_latent,
    latent_image,
    scaled_latent,
    tile_side,
)
from icmbench.models.tensors import load_network, make_network

if TYPE_CHECKING:  # the workflow reads names and digests without importing torch
    from diffusers import AutoencoderKL

    from icmbench.models.autoencoder_tiny import TinyAutoencoder
    from icmbench.models.block_autoencoder import BlockAutoencoder
    from icmbench.models.directions import DirectedAutoencoder
    from icmbench.models.taesd import Taesd

    LatentNetwork: TypeAlias = (
        AutoencoderKL | BlockAutoencoder | TinyAutoencoder | Taesd | DirectedAutoencoder
    )

MAX_RANGE = 1024  # standard deviations: float32 still resolves 1/8192 of one there
# `layout` of the bundled autoencoder: principal components of blocks.
BLOCKS = "blocks"
# `layout` of an imported autoencoder: a network of diffusers, whole, or of the TAESD family.
KL = "diffusers-kl"
TINY = "diffusers-tiny"
TAESD = "taesd"


class Tiling(TypedDict):
    """Arguments `whole` and `side` of the functions that cut images."""

    whole: int
    side: int


@dataclass(frozen=True)
class LatentAutoencoder:
    """An autoencoder and the statistics that standardise its latent.

    Attributes:
        path: the weight file.
        network: float32, in evaluation mode, without gradients.
        mean, std: float32 (C,), of the latent's channels over the training data.
        metadata: of the weight file.
        limit: largest magnitude of a latent value that Diff-ICMH codes, in 1/8192 standard
            deviations; from `latent_range` of the metadata, in whole standard deviations.
        carried: number of leading channels that MPD's palette carries: all, unless the file
            states another number (`icmbench.models.directions`).
    """

    path: Path
    network: LatentNetwork
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    metadata: dict[str, Any]
    limit: int
    carried: int

    @property
    def channels(self) -> int:
        """Number of channels of the latent."""
        return len(self.mean)

    @property
    def device(self) -> str:
        """`cpu` or `cuda`."""
        return str(next(self.network.parameters()).device.type)

    @property
    def tiling(self) -> Tiling:
        """Images are taken whole up to a tile's area, beyond in tiles of at most its side."""
        side = tile_side(self.metadata)
        return {"whole": side**2, "side": side}

    def latent(self, image: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Encode an image uint8 (H, W, 3) to its standardised latent, int16 (h, w, C).

        See `image_latent` for sizes and units.
        """
        statistics = self.mean, self.std
        return image_latent(self.network, image, *statistics, self.device, **self.tiling)

    def carried_latent(self, latent: NDArray[np.int16]) -> NDArray[np.int16]:
        """The part of a latent, int16 (h, w, C), that the palette carries, int16 (h, w, d)."""
        return np.ascontiguousarray(latent[:, :, : self.carried])

    def scaled_latent(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode an image uint8 (H, W, 3) as `latent` does, float32 (h, w, C), without clipping."""
        statistics = self.mean, self.std
        return scaled_latent(self.network, image, *statistics, self.device, **self.tiling)

    def image(self, latent: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint8]:
        """Decode a standardised latent float32 (h, w, C) to an image of `size` (height, width)."""
        statistics = self.mean, self.std
        return latent_image(self.network, latent, *statistics, size, self.device, **self.tiling)


def build_layout(layout: str | None, settings: Any) -> LatentNetwork:
    """A network of a layout, its weights to be loaded; None: this project's small AutoencoderKL.

    Raises ModelError for an unknown layout and for settings that the layout does not have.
    """
    # Each layout loads its own module alone.
    if layout in (None, KL):
        from icmbench.models.autoencoder import (
            AutoencoderSettings,
            build_autoencoder,
            build_published,
        )

        if layout == KL:
            return build_published(settings)
        return build_autoencoder(AutoencoderSettings.read(settings), seed=0)
    if layout == BLOCKS:
        from icmbench.models.block_autoencoder import BlockSettings, build_blocks

        return build_blocks(BlockSettings.read(settings), seed=0)
    if layout == TINY:
        from icmbench.models.autoencoder_tiny import build_tiny

        return build_tiny(settings)
    if layout == TAESD:
        from icmbench.models.taesd import TaesdSettings, build_taesd

        return build_taesd(TaesdSettings.read(settings))
    raise ModelError(f"layout is {layout!r}, not one of {BLOCKS}, {KL}, {TINY}, {TAESD}")


def load_autoencoder(path: Path) -> LatentAutoencoder:
    """Load an autoencoder: one of this project's small ones, or an imported published one.

    Raises ModelError naming file and tensor where something is missing or wrong.
    """
    from icmbench.models.directions import TENSOR, DirectedAutoencoder, carried_directions

    state, metadata = load_network(path)
    directions = state.pop(TENSOR, None)

    def build(settings: Any) -> LatentNetwork:
        return build_layout(metadata.get("layout"), settings)

    try:
        settings = metadata["network"]
        with np.errstate(over="ignore"):  # values beyond float32 are refused below
            mean, std = (np.asarray(metadata[key], np.float32) for key in ("mean", "std"))
        # Models without `latent_range` have the integer range of MPD.
        limit = metadata["latent_range"] * SCALE if "latent_range" in metadata else LIMIT
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{path}: its metadata is incomplete: {error}") from error
    network = make_network(path, state, settings, build)
    channels = int(network.config["latent_channels"])
    finite = np.isfinite(mean).all() and np.isfinite(std).all()
    if mean.shape != (channels,) or std.shape != mean.shape or not (std > 0).all() or not finite:
        raise ModelError(f"{path}: mean and std are not those of {channels} channels")
    if type(limit) is not int or not SCALE <= limit <= MAX_RANGE * SCALE:
        text = f"latent_range is {metadata['latent_range']!r}, not a whole number"
        raise ModelError(f"{path}: {text} from 1 to {MAX_RANGE}")
    own = metadata.get("layout") == BLOCKS
    carried = carried_directions(path, metadata, directions, channels, ordered=own)
    if directions is not None:
        network = DirectedAutoencoder(network, directions.numpy())
    network.eval().requires_grad_(False)
    return LatentAutoencoder(path, network, mean, std, metadata, limit, carried)
