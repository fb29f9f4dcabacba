"""Contrastive clustering features: a small encoder g on the latent (DESIGN 5c).

    latent (n, C, h, w) -> body, 3x3 convolutions -> (n, E, h, w), unit length per cell
                             PCA -> points (h, w, d), which enter the palette's distance
                             mean over a patch -> one head per level -> the contrastive loss

Only the encoder needs them. Convolutions are not padded; instead the latent is padded once with its
border cells. The features of a cell therefore depend on its neighbourhood only, and a crop with a
margin has the same features as the whole image.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.core.errors import ModelError
from icmbench.models.latent import LIMIT, SCALE
from icmbench.models.norms import FixedNorm
from icmbench.models.settings import NetworkSettings
from icmbench.models.tensors import load_built

MAX_DIMS: Final = 8  # of a point; every one makes the palette's clustering slower


@dataclass(frozen=True)
class FeatureSettings(NetworkSettings):
    """Size of the encoder g.

    Attributes:
        latent: channels of the latent.
        channels: of the body's inner layers; every layer widens the receptive field by one cell.
        embedding: E, channels of the embedding.
        levels: heads, one per level of the pseudo-labels.
        head: length of a head's output.
        dims: d, coordinates of a point.
    """

    latent: int = 4
    channels: tuple[int, ...] = (32, 48)
    embedding: int = 32
    levels: int = 5
    head: int = 32
    dims: int = 8

    def __post_init__(self) -> None:
        sizes = (self.latent, *self.channels, self.embedding, self.levels, self.head, self.dims)
        if min(sizes) < 1:
            raise ValueError(f"sizes are positive, not {sizes}")
        if self.dims > min(MAX_DIMS, self.embedding):
            raise ValueError(f"dims is {self.dims}: at most {MAX_DIMS} and at most the embedding")

    @property
    def margin(self) -> int:
        """Cells on each side of a cell that g depends on; its receptive field is 2 margin + 1."""
        return len(self.channels) + 1


class FeatureNetwork(torch.nn.Module):
    """g, its heads, and the principal components of its embedding over the training data."""

    def __init__(self, settings: FeatureSettings) -> None:
        super().__init__()
        self.margin = settings.margin
        layers: list[torch.nn.Module] = []
        for before, after in pairwise((settings.latent, *settings.channels)):
            layers += [torch.nn.Conv2d(before, after, 3), FixedNorm(after, 1e-5), torch.nn.SiLU()]
        last = (settings.latent, *settings.channels)[-1]
        layers.append(torch.nn.Conv2d(last, settings.embedding, 3))
        self.body = torch.nn.Sequential(*layers)
        self.heads = torch.nn.ModuleList(
            torch.nn.Sequential(
                torch.nn.Linear(settings.embedding, settings.embedding),
                torch.nn.SiLU(),
                torch.nn.Linear(settings.embedding, settings.head),
            )
            for _ in range(settings.levels)
        )
        self.mean: torch.Tensor
        self.components: torch.Tensor
        self.register_buffer("mean", torch.zeros(settings.embedding))
        self.register_buffer("components", torch.eye(settings.dims, settings.embedding))

    def cells(self, padded: torch.Tensor) -> torch.Tensor:
        """Embedding of the inner cells, (n, E, h, w), of latents (n, C, h + 2m, w + 2m)."""
        return torch.nn.functional.normalize(self.body(padded), dim=1)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """Embedding (n, E, h, w) of standardised latents (n, C, h, w)."""
        return self.cells(torch.nn.functional.pad(latent, (self.margin,) * 4, "replicate"))

    def project(self, patches: torch.Tensor) -> list[torch.Tensor]:
        """Per level, the unit vectors (n, head) of patch embeddings (n, E)."""
        return [torch.nn.functional.normalize(head(patches), dim=1) for head in self.heads]


def build_features(settings: FeatureSettings, seed: int) -> FeatureNetwork:
    """An untrained network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FeatureNetwork(settings)


@dataclass(frozen=True)
class Features:
    """A trained g.

    Attributes:
        network: in evaluation mode, without gradients.
        scale: latent units (1/8192 standard deviations) of a unit of the embedding.
    """

    network: FeatureNetwork
    scale: float

    def embedding(self, latent: NDArray[np.int16]) -> NDArray[np.float32]:
        """Embedding float32 (h, w, E), unit length per cell, of a latent int16 (h, w, C)."""
        values = latent.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(SCALE)
        device = self.network.mean.device
        with torch.inference_mode():
            cells = self.network(torch.from_numpy(values).to(device))[0]
            found: NDArray[np.float32] = cells.permute(1, 2, 0).contiguous().cpu().numpy()
        return found

    def points(self, latent: NDArray[np.int16]) -> NDArray[np.int16]:
        """Features int16 (h, w, d) of a latent int16 (h, w, C), of the same total variance.

        Over the training data the variances of the d coordinates sum to those of the C channels,
        8192^2 each (to less where a coordinate would leave 16 bits: see `fit_projection`).
        """
        mean = self.network.mean.cpu().numpy()
        components = self.network.components.cpu().numpy()
        values = (self.embedding(latent) - mean) @ components.T
        units = np.clip(np.rint(values * np.float32(self.scale)), -LIMIT, LIMIT)
        return np.asarray(units, np.int16)


def load_features(path: Path, channels: int) -> Features:
    """The features of a file, for a latent of `channels`.

    Raises ModelError naming the file and what is missing or wrong in it.
    """
    network, _, metadata = load_built(path, FeatureSettings, build_features, channels)
    scale: Any = metadata.get("scale")
    number = isinstance(scale, int | float) and not isinstance(scale, bool)
    if not number or not 0 < scale <= sys.float_info.max:
        raise ModelError(f"{path}: 'scale' of its metadata is {scale}, not a positive number")
    return Features(network, float(scale))
