"""Clusters of descriptors: PCA and k-means of one tap, the same on every run on one machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import ConfigError, DatasetError, ModelError
from icmbench.core.files import seed_from

DIMENSIONS: Final = 32  # of the PCA, at most
STARTS: Final = 4  # of k-means, the best of which is kept

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Level:
    """The clusters of one tap.

    Clusters are numbered in ascending order of the first principal coordinate of their centres.

    Attributes:
        counts: numbers of clusters that were computed, ascending.
        inertia: float64 (len(counts),), squared distance to the centres after k-means with each
            count, as a share of the total variance (that of the principal coordinates).
        kept: share of the descriptors' variance that the PCA keeps.
        mean: float32 (D,), of the descriptors.
        components: float32 (d, D), orthonormal rows, the largest entry of each positive.
        centres: float32 (chosen count, d).
        labels: int64 (n,), the clusters of the descriptors that the level was fitted to.
    """

    counts: tuple[int, ...]
    inertia: Doubles
    kept: float
    mean: Floats
    components: Floats
    centres: Floats
    labels: Ints

    @property
    def explained(self) -> Doubles:
        """Share of the total variance that lies between clusters, per count."""
        return 1 - self.inertia

    def project(self, descriptors: Floats) -> Doubles:
        """Principal coordinates, (m, d), of descriptors, (m, D).

        Raises ModelError where they are of another length than the level's.
        """
        if descriptors.shape[1] != self.mean.size:
            lengths = f"{descriptors.shape[1]}, the level's {self.mean.size}"
            raise ModelError(f"the length of these descriptors is {lengths}")
        return _project(descriptors, self.mean, self.components)

    def assign(self, descriptors: Floats) -> Ints:
        """int64 (m,): the nearest centre's cluster; ties go to the smaller one."""
        return _nearest(self.project(descriptors), self.centres)


def fit_level(descriptors: Floats, counts: Sequence[int], chosen: int, seed: int) -> Level:
    """PCA and k-means of one tap's descriptors, (n, D), with every number of clusters in `counts`.

    Args:
        chosen: the one of `counts` whose clusters are the level's.

    Raises ConfigError where `counts` are not ascending from 1 or lack `chosen`, DatasetError where
    there are fewer different descriptors than clusters.
    """
    tried = tuple(counts)
    if chosen not in tried or tried != tuple(sorted(set(tried))) or tried[0] < 1:
        raise ConfigError(f"cluster counts {list(tried)}: ascending from 1, {chosen} among them")
    mean, components, kept = _principal(descriptors, max(tried[-1], 2), seed)
    points = _project(descriptors, mean, components)
    total = float(((points - points.mean(axis=0)) ** 2).sum())
    inertia = np.empty(len(tried))
    for index, count in enumerate(tried):
        found, error = _cluster(points, count, seed)
        inertia[index] = error / total
        if count == chosen:
            centres = found
    labels = _nearest(points, centres)
    return Level(tried, inertia, kept, mean, components, centres, labels)


def stability(descriptors: Floats, count: int, seeds: tuple[int, int]) -> float:
    """Stability of `count` clusters against the seed: adjusted Rand index of two fits.

    1: the same partition, 0: chance level (Hubert and Arabie 1985).
    """
    from sklearn.metrics import adjusted_rand_score

    one, other = (fit_level(descriptors, [count], count, seed).labels for seed in seeds)
    return float(adjusted_rand_score(one, other))


def typical(
    descriptors: Floats, level: Level, cluster: int, count: int, images: Ints, per_image: int = 2
) -> Ints:
    """int64 (<= count,): the patches of a cluster that lie nearest its centre, nearest first.

    Args:
        descriptors: of the patches, (n, D).
        images: int64 (n,), of which image each is.
        per_image: patches of one image at most, so that no image fills a montage.
    """
    points = level.project(descriptors)
    members = np.flatnonzero(_nearest(points, level.centres) == cluster)
    distance = ((points[members] - level.centres[cluster]) ** 2).sum(axis=1)
    chosen: list[int] = []
    used: dict[int, int] = {}
    for index in members[np.argsort(distance, kind="stable")].tolist():
        image = int(images[index])
        if len(chosen) < count and used.get(image, 0) < per_image:
            used[image] = used.get(image, 0) + 1
            chosen.append(index)
    return np.array(chosen, np.int64)


def _principal(descriptors: Floats, distinct: int, seed: int) -> tuple[Floats, Floats, float]:
    """Mean, components and share of the variance that they keep, of `distinct` rows or more."""
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    different = len(np.unique(descriptors, axis=0))
    if different < distinct:
        raise DatasetError(f"{different} different descriptors cannot make {distinct} clusters")
    dimensions = min(DIMENSIONS, *descriptors.shape)
    # The solver follows from the shape: exact, or randomised with this seed for long descriptors.
    pca = PCA(dimensions, random_state=seed_from("pca", seed) % 2**32)
    with threadpool_limits(1):
        pca.fit(descriptors.astype(np.float64))
    rows = np.arange(dimensions)
    largest = np.abs(pca.components_).argmax(axis=1)
    components = pca.components_ * np.sign(pca.components_[rows, largest])[:, None]
    kept = float(pca.explained_variance_ratio_.sum())
    return pca.mean_.astype(np.float32), components.astype(np.float32), kept


def _cluster(points: Doubles, count: int, seed: int) -> tuple[Floats, float]:
    """Centres in the order of their first coordinate, and the summed squared distance to them."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    state = seed_from("k-means", seed, count) % 2**32
    with threadpool_limits(1):  # threads add in any order
        found = KMeans(count, n_init=STARTS, random_state=state).fit(points)
    order = np.lexsort(found.cluster_centers_.T[::-1])
    return found.cluster_centers_[order].astype(np.float32), float(found.inertia_)


def _project(descriptors: Floats, mean: Floats, components: Floats) -> Doubles:
    centred = descriptors.astype(np.float64) - mean
    points: Doubles = centred @ components.T.astype(np.float64)
    return points


def _nearest(points: Doubles, centres: Floats) -> Ints:
    from scipy.spatial.distance import cdist  # labels are read without it

    return np.asarray(cdist(points, centres, "sqeuclidean").argmin(axis=1), np.int64)
