"""Random batches of pseudo-labelled patches, cut from latents with the margin of g."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.core.errors import DatasetError
from icmbench.core.files import sha256_bytes
from icmbench.models.latent import CELL, SCALE, latent_shape
from icmbench.training.data import TrainingData

if TYPE_CHECKING:  # it loads what clusters descriptors
    from icmbench.codecs.mpd.training.pseudo_labels import PseudoLabels

GROUP: Final = 4  # patches that are drawn from one cluster
SHIFT: Final = 1  # cells by which a patch is moved at random

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Places:
    """Patches in cells of their images' latents, and their labels.

    Attributes:
        side: cells of a patch's side.
        image, top, left: int64 (n,).
        labels: int64 (levels, n).
    """

    side: int
    image: Ints
    top: Ints
    left: Ints
    labels: Ints

    @property
    def digest(self) -> str:
        """Digest of the patches and their labels."""
        parts = [np.array([self.side]), self.image, self.top, self.left, self.labels]
        return sha256_bytes(b"".join(part.astype("<i8").tobytes() for part in parts))


def make_places(labels: PseudoLabels, data: TrainingData) -> Places:
    """Convert patches to latent cells; DatasetError for other training data or off-grid patches."""
    if labels.pool != data.digest:
        raise DatasetError(
            f"pseudo-labels: made of training data {labels.pool[:12]}, these are {data.digest[:12]}"
        )
    patches = labels.patches
    image, top, left = (
        np.asarray(values, np.int64) for values in (patches.image, patches.top, patches.left)
    )
    found = np.stack([np.asarray(level.labels, np.int64) for level in labels.levels])
    if patches.size % CELL or (top % CELL).any() or (left % CELL).any():
        raise DatasetError(f"pseudo-labels: patches do not lie on the grid of {CELL} pixels")
    if image.size and not 0 <= image.min() <= image.max() < len(data.images):
        raise DatasetError(
            f"pseudo-labels: of an image beyond the {len(data.images)} of the training data"
        )
    side = patches.size // CELL
    places = Places(side, image, top // CELL, left // CELL, found)
    shapes = np.array([latent_shape(*shape) for shape in data.shapes.tolist()])
    ends = np.stack([places.top, places.left], axis=1) + side
    outside = (ends > shapes[image]).any(axis=1) | (ends < side).any(axis=1)
    if outside.any():
        name = int(image[np.argmax(outside)])
        raise DatasetError(f"pseudo-labels: a patch reaches out of training image {name}")
    return places


def make_clusters(labels: Ints, count: int) -> list[list[Ints]]:
    """Per level, the members of every cluster of at least two patches.

    Raises DatasetError where fewer than `count` patches have a positive in any level.
    """
    clusters = [
        [members for name in np.unique(level) if len(members := np.flatnonzero(level == name)) > 1]
        for level in labels
    ]
    usable = np.unique(np.concatenate([np.empty(0, np.int64), *(m for c in clusters for m in c)]))
    if len(usable) < count:
        raise DatasetError(
            f"pseudo-labels: {len(usable)} patches share a cluster with another one, a batch is "
            f"of {count}"
        )
    return [level for level in clusters if level]


def draw_batch(clusters: list[list[Ints]], rng: np.random.Generator, count: int) -> Ints:
    """Draw `count` distinct patches: a few of a random cluster of one level, then of the next.

    All clusters have the same probability, whatever their size, and all levels the same share.
    """
    chosen: dict[int, None] = {}
    level = int(rng.integers(len(clusters)))
    while len(chosen) < count:
        members = clusters[level][int(rng.integers(len(clusters[level])))]
        some = rng.choice(members, min(GROUP, len(members)), replace=False)
        chosen.update(dict.fromkeys(some.tolist()))
        level = (level + 1) % len(clusters)
    return np.array(list(chosen)[:count], np.int64)


def pad(latent: NDArray[np.int16], margin: int) -> NDArray[np.int16]:
    """Pad a latent (h, w, C) with its border cells, as g does."""
    return np.pad(latent, ((margin, margin), (margin, margin), (0, 0)), mode="edge")


def cut(
    padded: Sequence[NDArray[np.int16]],
    places: Places,
    chosen: Ints,
    margin: int,
    rng: np.random.Generator,
) -> torch.Tensor:
    """Patches with their margins, float32 (n, C, side + 2 margin, ...) in standard deviations.

    Each is moved by at most `SHIFT` cells in either direction, within its image.
    """
    side = places.side + 2 * margin
    crops = []
    for index in chosen.tolist():
        latent = padded[places.image[index]]
        top, left = (
            int(np.clip(place[index] + rng.integers(-SHIFT, SHIFT + 1), 0, length - side))
            for place, length in zip((places.top, places.left), latent.shape[:2], strict=True)
        )
        crops.append(latent[top : top + side, left : left + side])
    stacked = np.stack(crops).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(SCALE)
    return torch.from_numpy(stacked)
