"""Latents of the training pool, computed once: the prior and the tagger see nothing else.

Every image gives three views: as it is, mirrored, and reduced to half its sides where it is large
enough. A view's latent is the mean of the frozen autoencoder's posterior, standardised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PillowImage

from icmbench.core.errors import DatasetError
from icmbench.core.progress import progress
from icmbench.models.latent import CELL, SCALE
from icmbench.models.latent_autoencoder import LatentAutoencoder
from icmbench.training.data import TrainingData


@dataclass(frozen=True)
class View:
    """A view of a training image: the image's number and its latent, int16 (h, w, C)."""

    image: int
    latent: NDArray[np.int16]


def make_views(
    model: LatentAutoencoder, pool: TrainingData, cells: int, device: str = "cpu"
) -> list[View]:
    """All views of at least `cells` cells a side; DatasetError where there is none."""
    model.network.to(device, memory_format=torch.channels_last)
    views = []
    for number, image in enumerate(progress(pool.images, desc="latents", unit="image")):
        for picture in _pictures(image, cells * CELL):
            views.append(View(number, model.latent(picture)))
    if not views:
        raise DatasetError(f"the training pool has no image of {cells * CELL} pixels a side")
    return views


def _pictures(image: NDArray[np.uint8], side: int) -> Iterator[NDArray[Any]]:
    height, width = (length // CELL * CELL for length in image.shape[:2])
    if min(height, width) < side:
        return
    whole = image[:height, :width]
    yield whole
    yield np.ascontiguousarray(whole[:, ::-1])
    if min(height, width) >= 2 * side:
        small = PillowImage.fromarray(whole).reduce(2)
        reduced = np.asarray(small)
        rows, columns = (length // CELL * CELL for length in reduced.shape[:2])
        yield reduced[:rows, :columns]


def draw_views(
    views: list[View], rng: np.random.Generator, count: int, cells: int
) -> tuple[torch.Tensor, list[int]]:
    """Random crops, float32 (count, C, cells, cells) in standard deviations, and their images."""
    crops, images = [], []
    for _ in range(count):
        view = views[int(rng.integers(len(views)))]
        height, width = view.latent.shape[:2]
        top, left = int(rng.integers(height - cells + 1)), int(rng.integers(width - cells + 1))
        crops.append(view.latent[top : top + cells, left : left + cells])
        images.append(view.image)
    stacked = np.stack(crops).astype(np.float32) / np.float32(SCALE)
    return torch.from_numpy(np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))), images
