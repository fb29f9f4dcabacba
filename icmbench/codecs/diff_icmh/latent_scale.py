"""The two scales of a latent: that of the autoencoder, and that of the diffusion.

The codec's c, its reference and their squared error are in the autoencoder's scale, which may be a
metric of the image's error: its channels then have different variances. The noise of a diffusion
model is alike for all channels, so inside of it every channel has the variance 1. The factor
belongs to the prior, in the metadata of its file; files without one are of priors that were trained
on the autoencoder's scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.core.errors import ModelError

KEY: Final = "scale"  # in the metadata of a prior


class LatentScale:
    """The standard deviation of every channel of the autoencoder's latents, or 1."""

    def __init__(self, values: Sequence[float]) -> None:
        """`values`: of the channels, positive."""
        self.values = tuple(values)

    def enter(self, latent: torch.Tensor) -> torch.Tensor:
        """Bring latents (n, C, h, w) of the autoencoder or the codec to the diffusion's scale."""
        return latent / self._factor(latent)

    def leave(self, latent: torch.Tensor) -> torch.Tensor:
        """Undo `enter`."""
        return latent * self._factor(latent)

    def _factor(self, like: torch.Tensor) -> torch.Tensor:
        return torch.tensor(self.values, dtype=like.dtype, device=like.device)[:, None, None]

    @classmethod
    def same(cls, channels: int) -> LatentScale:
        """The scale of a diffusion on the autoencoder's own scale."""
        return cls((1.0,) * channels)

    @classmethod
    def measured(cls, latents: Iterable[NDArray[np.float32]]) -> LatentScale:
        """The scale of training latents, each (h, w, C): the root of their mean square.

        Raises ModelError where a channel is zero everywhere.
        """
        squares = [np.mean(np.square(latent, dtype=np.float64), (0, 1)) for latent in latents]
        found = [float(f"{value:.6g}") for value in np.sqrt(np.mean(squares, 0))]
        if 0 in found:
            raise ModelError(
                f"latent channel {found.index(0)} is zero in all training images: train the "
                "autoencoder again, with a lower learning_rate"
            )
        return cls(found)

    @classmethod
    def read(cls, path: Path, metadata: Mapping[str, Any], channels: int) -> LatentScale:
        """The scale of a prior's file; ModelError where it is not one positive number a channel."""
        values = metadata.get(KEY)
        if values is None:
            return cls.same(channels)
        try:
            with np.errstate(over="ignore"):  # refused below
                found = np.asarray(values, np.float32)
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"{path}: {KEY} is no list of numbers: {error}") from error
        if found.shape != (channels,) or not ((found > 0) & np.isfinite(found)).all():
            raise ModelError(f"{path}: {KEY} is not {channels} positive numbers")
        return cls(found.tolist())
