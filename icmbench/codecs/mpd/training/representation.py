"""From pixels to pseudo-labels: a network's taps, their descriptors, one clustering per level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.codecs.mpd.networks.vgg import load_vgg, taps
from icmbench.codecs.mpd.training.clusters import Level, fit_level
from icmbench.codecs.mpd.training.pseudo_labels import Patches, PseudoLabels, patch_descriptors
from icmbench.core.errors import DatasetError
from icmbench.core.files import sha256_file
from icmbench.core.progress import progress
from icmbench.training.data import TrainingData

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class TapsNetwork:
    """The taps of a VGG file, as a function of pixels float32 (n, 3, H, W) in [-1, 1].

    Attributes:
        digest: sha256 of the file.
        channels: of its five stages.
    """

    network: torch.nn.Module
    digest: str
    channels: tuple[int, ...]

    def __call__(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Five tensors (n, C, H/s, W/s), shallowest first, on the network's device."""
        return taps(self.network, pixels.to(next(self.network.parameters()).device))


def load_taps(path: Path, device: str = "cpu") -> TapsNetwork:
    """The network of a file that `load_vgg` reads, on `device`; its errors."""
    network = load_vgg(path).to(device)
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    last = np.cumsum([2, 2, 3, 3, 3]) - 1
    return TapsNetwork(
        network, sha256_file(path), tuple(convolutions[index].out_channels for index in last)
    )


def make_pseudo_labels(
    network: TapsNetwork,
    data: TrainingData,
    patches: Patches,
    kind: str,
    *,
    counts: Sequence[int],
    clusters: Sequence[int],
    seed: int,
) -> tuple[PseudoLabels, list[Floats]]:
    """Pseudo-labels of patches of training images, and their descriptors (n, D) per level.

    Args:
        counts: numbers of clusters that are tried, ascending.
        clusters: the number in use per level, each one of `counts`; a single one: of the
            descriptors of all taps, concatenated.

    Raises as `patch_descriptors` and `fit_level` do.
    """
    descriptors = patch_descriptors(network, data.images, patches, kind, joined=len(clusters) == 1)
    levels: list[Level] = [
        fit_level(values, counts, chosen, seed)
        for values, chosen in progress(
            list(zip(descriptors, clusters, strict=True)), desc="clusters", unit="level"
        )
    ]
    about: Mapping[str, Any] = {"channels": list(network.channels)}
    labels = PseudoLabels(patches, kind, tuple(levels), data.digest, network.digest, about)
    return labels, descriptors


def check_labels(labels: PseudoLabels, data: TrainingData, path: Path) -> None:
    """DatasetError where pseudo-labels were made of other training data."""
    if labels.pool != data.digest:
        raise DatasetError(f"{path}: pseudo-labels of other training data than the one given")
