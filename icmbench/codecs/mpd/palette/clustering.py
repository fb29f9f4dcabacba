"""What steers the clustering of a palette besides the latent itself (DESIGN 5c, d).

Further coordinates of every cell pull cells together that lie in like surroundings. Contrastive
features are one choice; the other is the surroundings themselves: the latent, blurred. It needs no
network and is the control that shows what a learned feature adds to mere smoothness.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

BLUR = "blur"
ALPHA = 2.0  # of BLUR: the least mean BD-rate on validation images, see configs/sweep-mpd.yaml
_TAPS = np.array([1, 4, 6, 4, 1])  # binomial: a Gaussian of one cell's deviation
_LARGEST = 32767


def blurred(latent: NDArray[np.int16]) -> NDArray[np.int16]:
    """The latent int16 (h, w, C), each cell a weighted mean of 5 x 5 cells, in integers.

    Borders are continued by their cells; halves are rounded up.
    """
    values = np.pad(latent.astype(np.int64), ((2, 2), (2, 2), (0, 0)), mode="edge")
    weight = int(_TAPS.sum()) ** 2
    for axis in (0, 1):
        windows = np.lib.stride_tricks.sliding_window_view(values, _TAPS.size, axis=axis)
        values = windows @ _TAPS
    return np.asarray((values + weight // 2) // weight, np.int16)


def surroundings(latent: NDArray[np.int16]) -> NDArray[np.int16]:
    """The guide of a codec string that names none, int16 (h, w, C)."""
    return weighted(blurred(latent), ALPHA)


def weighted(points: NDArray[np.int16], alpha: float) -> NDArray[np.int16]:
    """Coordinates that weigh `alpha` in a squared distance: points times sqrt(alpha), rounded."""
    scaled = np.clip(np.rint(points * math.sqrt(alpha)), -_LARGEST, _LARGEST)
    return np.asarray(scaled, np.int16)
