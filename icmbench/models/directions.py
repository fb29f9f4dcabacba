"""A latent in other coordinates: directions of an imported latent, most important first.

The palette of a latent of many channels is coded in its leading directions alone. They are found
over the training data (`icmbench.codecs.mpd.training.directions`) and are part of the weight file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.core.errors import ModelError
from icmbench.models.posterior import Decoded, Encoded, Point

TENSOR: Final = "latent_directions"  # of the weight file, beside those of the network
CARRIED: Final = "directions"  # of its metadata: number of directions that the palette carries
LARGEST: Final = 1e4  # condition number: float32 still inverts it to a thousandth


class DirectedAutoencoder(torch.nn.Module):
    """An autoencoder whose latent is given in directions.

    Attributes:
        config: of the network.
        network: an autoencoder with the interface of diffusers' `AutoencoderKL`.
        analysis: float32 (C, C), one direction a row; the latent is `analysis` times the network's.
        synthesis: its inverse.
    """

    analysis: torch.Tensor
    synthesis: torch.Tensor

    def __init__(self, network: Any, analysis: NDArray[np.float32]) -> None:
        super().__init__()
        self.config = network.config
        self.network = network
        inverse = np.linalg.inv(analysis.astype(np.float64)).astype(np.float32)
        for name, matrix in (("analysis", analysis), ("synthesis", inverse)):
            self.register_buffer(name, torch.from_numpy(matrix), persistent=False)

    def encode(self, pixels: torch.Tensor) -> Encoded:
        """The latent, (n, C, h/8, w/8), of images (n, 3, h, w) in [-1, 1]: the posterior's mode."""
        return Encoded(
            Point(_turned(self.analysis, self.network.encode(pixels).latent_dist.mode()))
        )

    def decode(self, latent: torch.Tensor) -> Decoded:
        """Images in [-1, 1], (n, 3, 8h, 8w), of latents (n, C, h, w)."""
        return Decoded(self.network.decode(_turned(self.synthesis, latent)).sample)


def _turned(matrix: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return torch.einsum("ij,njhw->nihw", matrix, values)


def carried_directions(
    path: Path, metadata: dict[str, Any], matrix: Any, channels: int, *, ordered: bool = False
) -> int:
    """Number of leading channels that the palette carries; without directions all of them.

    Args:
        path: the weight file, for error messages.
        matrix: `TENSOR` of the file; None: it has none.
        ordered: the network's own channels are directions: no matrix is needed.

    Raises ModelError where the directions are not those of a latent of `channels`.
    """
    if matrix is None and CARRIED not in metadata:
        return channels
    count = metadata.get(CARRIED)
    missing = matrix is None and not ordered
    if missing or (matrix is not None and tuple(matrix.shape) != (channels, channels)):
        shape = None if matrix is None else tuple(matrix.shape)
        raise ModelError(f"{path}: {TENSOR} is of the shape {shape}, expected {(channels,) * 2}")
    if type(count) is not int or not 1 <= count <= channels:
        raise ModelError(f"{path}: {CARRIED} is {count!r}, expected 1 to {channels}")
    if matrix is not None and not np.linalg.cond(matrix) <= LARGEST:
        raise ModelError(f"{path}: {TENSOR} has no inverse: its directions are dependent")
    return count
