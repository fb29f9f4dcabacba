"""Texture-semantic descriptors: the Fourier magnitudes of a tap, pooled (DESIGN 5b).

A tap is the output of one layer for a square patch, C maps of h x h. Shifting a map (its
rows and columns wrap around) leaves the magnitudes of its 2-D Fourier transform as they are;
flipping or turning it moves them among frequencies that the symmetries of the square exchange. So
magnitudes are averaged over bins that these symmetries keep: rings of an octave, and orientations
folded into 0 to 45 degrees. Of the tap this holds exactly. Of the image under it only as far as
the network itself follows: its filters have orientations, and its borders do not wrap around.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.core.errors import ConfigError

KINDS: Final = ("fft", "mean")
WEDGES: Final = 3  # folded orientations, of 15 degrees each

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Sector:
    """A bin of frequencies.

    Attributes:
        inner, outer: radii in cycles per patch, `inner <= radius < outer`.
        start, stop: folded orientation in degrees, 0 along an axis and 45 along a diagonal.
    """

    inner: int
    outer: int
    start: float
    stop: float


def descriptor(tap: torch.Tensor, kind: str) -> torch.Tensor:
    """Descriptors, float32 (n, D), of a tap, float32 (n, C, h, h).

    `fft` has D = C times the number of `sectors(h)`: per channel the mean magnitude of each bin,
    at frequency 0 the magnitude of the map's mean and elsewhere of the orthonormal transform
    (white noise then gives the same values at every h). `mean` has D = 2C, the magnitude of every
    channel's mean and its standard deviation. Of both log(1 + value) is taken, so that strong
    channels do not drown the others. Computed in float64: sums over a bin then agree far below
    float32 whatever order a flip or a turn puts them in.

    Raises ConfigError for another kind and for a tap that is not square.
    """
    if kind not in KINDS:
        raise ConfigError(f"a descriptor's kind is one of {', '.join(KINDS)}, not {kind!r}")
    size = tap.shape[2]
    if tap.shape[3] != size:
        raise ConfigError(f"a descriptor is of a square patch, not of {size} x {tap.shape[3]}")
    values = tap.double()
    if kind == "mean":
        flat = values.flatten(2)
        pooled = torch.cat([flat.mean(2).abs(), flat.std(2, correction=0)], dim=1)
    else:
        magnitudes = torch.fft.rfft2(values, norm="ortho").abs()
        pooled = magnitudes.flatten(2) @ _pooling(size).to(tap.device)
    return torch.log1p(pooled).flatten(1).float()


def sectors(size: int) -> tuple[list[Sector], Ints]:
    """The bins of a patch of `size` x `size`, and the bin of every frequency.

    The map is int64 (size, size) in the order of `numpy.fft.fft2`; for an image of it, with
    frequency 0 in the middle, `numpy.fft.fftshift` it. Rings double their radius: bin 0 is
    frequency 0, then come 1 to 2, 2 to 4, ... cycles per patch, each in wedges of 15 degrees. Bins
    without a frequency are left out.
    """
    # Of both Nyquist signs |frequency| is the same, as is the magnitude.
    cycles = np.abs(np.rint(np.fft.fftfreq(size, 1 / size))).astype(np.int64)
    high, low = np.maximum.outer(cycles, cycles), np.minimum.outer(cycles, cycles)
    # In integers, so that a frequency on a ring's edge has one side.
    edges = 4 ** np.arange(size.bit_length() + 1)
    ring = np.searchsorted(edges, high**2 + low**2, side="right")
    width = 45 / WEDGES
    wedge = np.minimum(np.degrees(np.arctan2(low, high)) // width, WEDGES - 1).astype(np.int64)
    found, names = np.unique(ring * WEDGES + wedge, return_inverse=True)
    bins = [Sector(0, 1, 0.0, 45.0)]
    for number in found[1:].tolist():
        outer, step = 1 << (number // WEDGES), number % WEDGES
        bins.append(Sector(outer // 2, outer, width * step, width * (step + 1)))
    return bins, np.asarray(names, np.int64).reshape(size, size)


@lru_cache(maxsize=16)
def _pooling(size: int) -> torch.Tensor:
    """float64 (size * (size // 2 + 1), bins): weights of the half plane that `rfft2` gives."""
    bins, names = sectors(size)
    columns = size // 2 + 1
    half = names[:, :columns].ravel()
    # A column stands for its mirror image too, unless it is its own.
    share = np.full((size, columns), 2.0)
    share[:, 0] = 1.0
    if size % 2 == 0:
        share[:, -1] = 1.0
    weights = np.zeros((half.size, len(bins)))
    weights[np.arange(half.size), half] = share.ravel() / np.bincount(names.ravel())[half]
    weights[0] /= size  # the orthonormal coefficient of frequency 0 is the mean times the size
    return torch.from_numpy(weights)
