"""Distances between two sets of features: Fréchet distance and kernel distance.

Both compare distributions and not pairs of images. With few features the Fréchet distance is biased
upwards; the kernel distance is unbiased.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import MeasurementError

Floats = NDArray[np.float64]

SUBSETS: Final = 100
SUBSET_SIZE: Final = 1000
_SEED: Final = 1


class Gaussian(NamedTuple):
    """Mean (d,) of features and a factor F (k, d) of their covariance, which is F^T F; k <= d."""

    mean: Floats
    factor: Floats


class KernelDistance(NamedTuple):
    """Mean and standard deviation over random subsets."""

    mean: float
    std: float


def fit_gaussian(features: NDArray[np.floating]) -> Gaussian:
    """Mean and unbiased covariance of features (n, d), n at least 2.

    Raises MeasurementError for features that are not finite.
    """
    values = np.array(features, np.float64)
    if not np.isfinite(values).all():
        raise MeasurementError("Fréchet distance: a feature is not finite: the values are damaged")
    mean = values.mean(axis=0)
    factor = (values - mean) / np.sqrt(len(values) - 1)
    if len(factor) > len(mean):
        factor = np.asarray(np.linalg.qr(factor, mode="r"))
    return Gaussian(mean, factor)


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Heusel et al., NeurIPS 2017, (6)).

    With C = F^T F, the eigenvalues of C1 C2 are the squares of the singular values of F1 F2^T.
    Their sum is the trace of the root: real and exact for singular covariances, too.
    """
    difference = one.mean - other.mean
    root = np.linalg.svd(one.factor @ other.factor.T, compute_uv=False).sum()
    traces = np.square(one.factor).sum() + np.square(other.factor).sum() - 2 * root
    return float(difference @ difference + traces)


def kernel_distance(
    one: NDArray[np.floating], other: NDArray[np.floating], subsets: int = SUBSETS
) -> KernelDistance:
    """KID: unbiased squared MMD with the kernel (x.y/d + 1)^3 (Binkowski et al., ICLR 2018).

    Mean and standard deviation over random subsets of min(1000, n) features of either set, drawn
    without replacement with a fixed seed; up to 1000 features are a subset that is always the same.

    Args:
        one, other: features (n, d) and (m, d), n and m at least 2.
    """
    size = min(SUBSET_SIZE, len(one), len(other))
    if size < 2:
        raise MeasurementError(f"kernel distance: {size} features, at least 2 are needed")
    if size == len(one) == len(other):
        subsets = 1  # all of them are the same
    draws = np.random.default_rng(_SEED)
    found = np.zeros(subsets)
    for number in range(subsets):
        chosen = [
            np.asarray(part[np.sort(draws.choice(len(part), size, replace=False))], np.float64)
            for part in (one, other)
        ]
        found[number] = unbiased_mmd(*chosen)
    return KernelDistance(float(found.mean()), float(found.std()))


def unbiased_mmd(x: Floats, y: Floats) -> float:
    """Unbiased squared maximum mean discrepancy of (n, d) and (m, d), kernel (x.y/d + 1)^3."""
    within = [_off_diagonal_mean(_kernel(part, part)) for part in (x, y)]
    return float(sum(within) - 2 * _kernel(x, y).mean())


def _kernel(x: Floats, y: Floats) -> Floats:
    product: Floats = x @ y.T / x.shape[1] + 1
    return product * product * product


def _off_diagonal_mean(kernel: Floats) -> float:
    count = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))
