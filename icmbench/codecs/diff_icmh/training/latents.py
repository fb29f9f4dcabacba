"""Latents of the training set, computed once into a file, and random crops of them.

Every image gives up to three latents: of the image, of its mirror image, and of the image at half
size where it is large enough. A latent is the mean of the frozen autoencoder's posterior,
standardised. The prior and the tagger are trained on these latents alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from icmbench.training.lazy import ArrayFile, Lazy
from icmbench.training.loop import Session


@dataclass(frozen=True)
class AugmentedLatent:
    """Latent of an augmented training image: the image's index and the latent, int16 (h, w, C)."""

    image: int
    latent: NDArray[np.int16]


def augmented_latents(
    model: LatentAutoencoder, data: TrainingData, cells: int, session: Session
) -> Sequence[AugmentedLatent]:
    """Compute all latents of at least `cells` cells a side; DatasetError where there is none.

    They lie in a temporary file beside the checkpoint and are read when they are asked for.
    """
    model.network.to(session.device).to(memory_format=torch.channels_last)
    latents, images = ArrayFile(session.checkpoint.parent), []
    for number, image in enumerate(progress(data.images, desc="latents", unit="image")):
        for augmented in _augmented(image, cells * CELL):
            latents.append(model.latent(augmented))
            images.append(number)
    if not images:
        raise DatasetError(f"the training set has no image of {cells * CELL} pixels a side")
    return Lazy(range(len(images)), lambda n: AugmentedLatent(images[n], latents.read(n)))


def _augmented(image: NDArray[np.uint8], side: int) -> Iterator[NDArray[Any]]:
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


def standardised(latent: NDArray[np.int16]) -> NDArray[np.float32]:
    """Values of stored latents, in standard deviations of the autoencoder."""
    return latent.astype(np.float32) / np.float32(SCALE)


def latent_crops(
    latents: Sequence[AugmentedLatent], rng: np.random.Generator, count: int, cells: int
) -> tuple[torch.Tensor, list[int]]:
    """Take random crops, float32 (count, C, cells, cells), standardised, and their images."""
    crops, images = [], []
    for _ in range(count):
        chosen = latents[int(rng.integers(len(latents)))]
        height, width = chosen.latent.shape[:2]
        top, left = int(rng.integers(height - cells + 1)), int(rng.integers(width - cells + 1))
        crops.append(chosen.latent[top : top + cells, left : left + cells])
        images.append(chosen.image)
    stacked = standardised(np.stack(crops))
    return torch.from_numpy(np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))), images
