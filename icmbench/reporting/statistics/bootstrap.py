"""Bootstrap over images: one set of resamples for a whole data set, means, and intervals.

The percentile bootstrap of Efron and Tibshirani, *An Introduction to the Bootstrap* (1993),
chapter 13. Images are drawn, not rows: every codec of a data set gets the same draws, so that
the variance between images does not add to a difference between two codecs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import MeasurementError
from icmbench.core.files import seed_from

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

MIN_RESAMPLES = 20
# The resamples of one or two images show at most three different means: no interval.
MIN_IMAGES = 3
MIN_VALID_SHARE = 0.9
_CHUNK = 1 << 21


def resample_indices(images: int, resamples: int, *, seed: int, dataset: str) -> Indices:
    """Image numbers drawn with replacement, shape (resamples, images).

    The draws depend on `seed`, `dataset` and the number of images alone. More resamples extend
    the list, they do not change its beginning. Raises `MeasurementError` below 20 resamples,
    where a 95 % interval would be the range of a handful of draws.
    """
    if resamples < MIN_RESAMPLES:
        raise MeasurementError(f"{resamples} resamples: at least {MIN_RESAMPLES} are needed")
    generator = np.random.Generator(np.random.PCG64(seed_from("bootstrap", seed, dataset)))
    return generator.integers(0, max(images, 1), size=(resamples, images), dtype=np.int64)


def mean(values: Floats) -> float:
    """Mean of the defined (not nan) values; nan if there is none; infinite if one of them is."""
    return float(_row_means(np.ascontiguousarray(values, dtype=np.float64)[np.newaxis])[0])


def resampled_means(values: Floats, indices: Indices) -> Floats:
    """`mean` of every resample: values (images,), indices (resamples, images) -> (resamples,).

    Sums run over the drawn values of one column, never through a matrix product: equal columns
    then give bit-equal means whatever stands beside them, and infinity needs no special case.
    """
    column = np.ascontiguousarray(values, dtype=np.float64)
    rows = max(1, _CHUNK // max(1, column.size))
    parts = [_row_means(column[indices[i : i + rows]]) for i in range(0, len(indices), rows)]
    return np.concatenate(parts)


def _row_means(rows: Floats) -> Floats:
    total: Floats = rows.sum(axis=1)
    if rows.shape[1] and not np.isnan(total).any():
        total /= rows.shape[1]
        return total
    defined = ~np.isnan(rows)
    count = defined.sum(axis=1)
    total = np.where(defined, rows, 0.0).sum(axis=1)
    means = np.full(len(rows), np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means


def interval(samples: Floats) -> tuple[float, float]:
    """95 % percentile interval of resampled values.

    The ends are order statistics, rounded outwards, not interpolations: an infinite sample
    (lossless) then stays infinite. Undefined samples are left out; where fewer than 90 % of the
    samples are defined there is no interval: (nan, nan).
    """
    defined = np.sort(samples[~np.isnan(samples)])
    if defined.size == 0 or defined.size < MIN_VALID_SHARE * samples.size:
        return float("nan"), float("nan")
    tail = (defined.size - 1) // 40
    return float(defined[tail]), float(defined[-1 - tail])
