"""Clustering features: coordinates in addition to z by which a palette is clustered (DESIGN 5c, d).

Cells with similar features get one palette entry. The features are contrastive ones (of a small
network) or the blurred latent, which needs no network and is the baseline of the learned features.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from icmbench.models.latent import LIMIT

BLUR = "blur"
ALPHA = 2.0  # of BLUR: the lowest mean BD-rate on validation images, see configs/sweep-mpd.yaml
_TAPS = np.array([1, 4, 6, 4, 1])  # binomial: a Gaussian of one cell's deviation


def blurred(latent: NDArray[np.int16]) -> NDArray[np.int16]:
    """Blur a latent int16 (h, w, C): weighted means of 5 x 5 cells, in integers.

    Borders are padded with their cells; halves are rounded up.
    """
    values = np.pad(latent.astype(np.int64), ((2, 2), (2, 2), (0, 0)), mode="edge")
    weight = int(_TAPS.sum()) ** 2
    for axis in (0, 1):
        windows = np.lib.stride_tricks.sliding_window_view(values, _TAPS.size, axis=axis)
        values = windows @ _TAPS
    return np.asarray((values + weight // 2) // weight, np.int16)


def default_features(latent: NDArray[np.int16]) -> NDArray[np.int16]:
    """Clustering features of the default codec spec, int16 (h, w, C)."""
    return weighted(blurred(latent), ALPHA)


def weighted(points: NDArray[np.int16], alpha: float) -> NDArray[np.int16]:
    """Weight points by `alpha` in a squared distance: points times sqrt(alpha), rounded."""
    scaled = np.clip(np.rint(points * math.sqrt(alpha)), -LIMIT, LIMIT)
    return np.asarray(scaled, np.int16)
