"""Do neighbours in a representation mean the same? Retrieval of held-out patches (DESIGN 5c).

The check of the contrastive features: of a patch's nearest neighbours, taken from other images,
what share has the patch's semantic class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import DatasetError, MeasurementError
from icmbench.models.latent import CELL
from icmbench.reporting.statistics.bootstrap import (
    interval,
    mean,
    resample_indices,
    resampled_means,
)

NEIGHBOURS: Final = 10
RESAMPLES: Final = 1000

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ScenePatches:
    """Held-out patches of scenes.

    Attributes:
        images: uint8 (H, W, 3) each.
        patch: pixels of a patch's side.
        image, top, left: int64 (n,), the image of every patch and its place in pixels.
        classes: int64 (n,), the semantic class that more than half of its pixels have.
    """

    images: tuple[NDArray[np.uint8], ...]
    patch: int
    image: Ints
    top: Ints
    left: Ints
    classes: Ints


@dataclass(frozen=True)
class Retrieval:
    """Retrieval scores of one representation.

    Attributes:
        share: of neighbours with the query's class; mean over images of the mean over patches.
        low, high: ends of its 95 % bootstrap interval over images.
        gain: `share` less that of the reference.
        gain_low, gain_high: ends of the interval of the paired difference.
    """

    share: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float


def scene_patches(seed: int, split: str, count: int, size: int, patch: int) -> ScenePatches:
    """Render `count` scenes of `size` pixels a side; their patches side by side, with classes.

    Patches without a majority, and those whose majority belongs to no class, are left out.
    Raises DatasetError where patches do not lie on the latent's grid, or none is left.
    """
    from icmbench.scenes import render_scene

    if patch % CELL or not 0 < patch <= size:
        raise DatasetError(f"patches of {patch} pixels: they are multiples of {CELL}, up to {size}")
    images = []
    found: list[tuple[int, int, int, int]] = []
    for index in range(count):
        scene = render_scene(seed, split, index, size, size)
        images.append(scene.image)
        for top in range(0, size - patch + 1, patch):
            for left in range(0, size - patch + 1, patch):
                name = majority(scene.semantic[top : top + patch, left : left + patch])
                if name is not None:
                    found.append((index, top, left, name))
    if not found:
        raise DatasetError(f"{count} scenes of {split}: no patch of {patch} pixels has a class")
    columns = np.array(found, np.int64).T
    return ScenePatches(tuple(images), patch, *columns)


def majority(classes: NDArray[np.uint8]) -> int | None:
    """The class of more than half of the pixels; None where there is none."""
    from icmbench.scenes import IGNORE

    counts = np.bincount(classes.ravel(), minlength=IGNORE + 1)
    name = int(counts.argmax())
    return name if name != IGNORE and 2 * counts[name] > classes.size else None


def patch_means(values: NDArray[Any], top: Ints, left: Ints, side: int) -> Floats:
    """Mean (n, D) over the cells of patches of an image's cells (h, w, D); places in cells."""
    return np.stack([patch.mean((0, 1)) for patch in _patches(values, top, left, side)])


def patch_statistics(values: NDArray[Any], top: Ints, left: Ints, side: int) -> Floats:
    """Mean and standard deviation (n, 2D) over the cells of patches, as `patch_means`."""
    return np.stack(
        [
            np.concatenate([patch.mean((0, 1)), patch.std((0, 1))])
            for patch in _patches(values, top, left, side)
        ]
    )


def _patches(values: NDArray[Any], top: Ints, left: Ints, side: int) -> list[Floats]:
    cells = values.astype(np.float64)
    return [cells[y : y + side, x : x + side] for y, x in zip(top, left, strict=True)]


def same_class_share(
    vectors: NDArray[Any],
    classes: Ints,
    image: Ints,
    *,
    neighbours: int = NEIGHBOURS,
    metric: str = "cosine",
) -> Floats:
    """Per patch, the share (n,) of its nearest neighbours that have its class.

    Neighbours come from other images than the patch's own.

    Args:
        vectors: (n, D). classes, image: (n,).
        metric: cosine or euclidean.

    Raises MeasurementError where the other images have too few patches.
    """
    from sklearn.neighbors import NearestNeighbors

    share = np.empty(len(vectors))
    for name in np.unique(image):
        own = image == name
        if (~own).sum() < neighbours:
            raise MeasurementError(
                f"retrieval: {(~own).sum()} patches of other images than image {name}, "
                f"{neighbours} neighbours asked for"
            )
        finder = NearestNeighbors(n_neighbors=neighbours, algorithm="brute", metric=metric)
        finder.fit(vectors[~own])
        nearest = finder.kneighbors(vectors[own], return_distance=False)
        share[own] = (classes[~own][nearest] == classes[own][:, None]).mean(1)
    return share


def chance_share(classes: Ints, image: Ints) -> Floats:
    """Per patch, the share (n,) of all patches of other images that have its class."""
    share = np.empty(len(classes))
    for name in np.unique(image):
        own = image == name
        others = classes[~own]
        share[own] = (others[None] == classes[own][:, None]).mean(1) if others.size else np.nan
    return share


def compare(
    shares: Mapping[str, Floats], image: Ints, *, reference: str, seed: int = 0
) -> dict[str, Retrieval]:
    """Means, 95 % intervals and paired differences of representations on the same patches.

    Every image has the same weight, and all representations get the same bootstrap draws of images.
    Neighbours are searched in the whole set for every draw: the intervals are over queries, not
    over the gallery.

    Args:
        shares: per representation, the values (n,) of `same_class_share`.
        reference: name of the representation that the others are compared with.

    Raises MeasurementError where the reference is not among them.
    """
    if reference not in shares:
        raise MeasurementError(f"retrieval: no representation {reference!r}: {', '.join(shares)}")
    _, owner = np.unique(image, return_inverse=True)
    counts = np.bincount(owner)
    by_image = {name: np.bincount(owner, values) / counts for name, values in shares.items()}
    draws = resample_indices(len(counts), RESAMPLES, seed=seed, dataset="retrieval")
    base = by_image[reference]
    return {
        name: Retrieval(
            mean(values),
            *interval(resampled_means(values, draws)),
            mean(values - base),
            *interval(resampled_means(values - base, draws)),
        )
        for name, values in by_image.items()
    }
