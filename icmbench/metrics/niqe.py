"""NIQE: distance of a reconstruction's natural-scene statistics to those of pristine photographs.

Mittal, Soundararajan and Bovik, IEEE Signal Processing Letters 20(3), 2013. 18 features of every
block of 96 x 96 pixels at two scales: fits of asymmetric generalised Gaussians (AGGD) to the
normalised luminance and to products of neighbours. The original plays no part. Constants are those
of the authors' release, whose parameters of the pristine model are read from the published file.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import scipy.io
from numpy.typing import NDArray
from scipy import ndimage, special

from icmbench.core.errors import MeasurementError
from icmbench.metrics import weights as files
from icmbench.metrics.picture import Picture

Floats = NDArray[np.float64]

BLOCK: Final = 96  # pixels a side of a block; half of it at the second scale
FEATURES: Final = 36
MEAN, COVARIANCE = "mu_prisparam", "cov_prisparam"  # names of the variables in the file
_GREY: Final = (0.298936021293775, 0.587043074451121, 0.114020904255103)  # of MATLAB's rgb2gray
_SHIFTS: Final = ((0, 1), (1, 0), (1, 1), (1, -1))
_SHAPES: Final = np.arange(0.2, 10.0005, 0.001)  # shape parameters that are tried
_RATIOS: Final = special.gamma(2 / _SHAPES) ** 2 / (
    special.gamma(1 / _SHAPES) * special.gamma(3 / _SHAPES)
)
_WINDOW: Final = 7
_SIGMA: Final = _WINDOW / 6


def load_niqe(weights: Path | None, device: str) -> Callable[[Picture, Picture], float]:
    """NIQE of the reconstruction, computed on the CPU whatever `device` is; lower is better.

    Raises MeasurementError if the file of the pristine model is missing, damaged or another one.
    """
    mean, covariance = read_model(weights)

    def score(original: Picture, reconstruction: Picture) -> float:
        return distance(block_features(luminance(reconstruction.pixels)), mean, covariance)

    return score


def read_model(weights: Path | None) -> tuple[Floats, Floats]:
    """Mean (36,) and covariance (36, 36) of the features of pristine photographs.

    Raises MeasurementError naming the file that is missing, damaged or not such a model.
    """
    path = files.find(files.NIQE, weights)
    if path is None:
        raise MeasurementError(files.missing(files.NIQE, weights))
    content = path.read_bytes()
    try:
        found = scipy.io.loadmat(io.BytesIO(content), variable_names=[MEAN, COVARIANCE])
        mean = np.asarray(found[MEAN], np.float64).ravel()
        covariance = np.asarray(found[COVARIANCE], np.float64)
    # A damaged file raises whatever its first bad byte leads to.
    except Exception as error:
        digest = hashlib.sha256(content).hexdigest()[:8]
        raise MeasurementError(
            f"{path} (sha256 {digest}…) is no MATLAB file with {MEAN} and {COVARIANCE}: {error!r}"
        ) from error
    shapes = (mean.shape, covariance.shape)
    if shapes != ((FEATURES,), (FEATURES, FEATURES)) or not np.isfinite(covariance).all():
        raise MeasurementError(
            f"{path}: {MEAN} and {COVARIANCE} have the shapes {shapes[0]} and {shapes[1]}, "
            f"expected {FEATURES} and {FEATURES} x {FEATURES} finite numbers"
        )
    return mean, covariance


def luminance(pixels: NDArray[np.uint8]) -> Floats:
    """Luminance of an image uint8 (H, W, 3), rounded to whole code values as by the authors."""
    grey: Floats = np.floor(pixels.astype(np.float64) @ np.array(_GREY) + 0.5)
    return grey


def distance(features: Floats, mean: Floats, covariance: Floats) -> float:
    """Mahalanobis-like distance (eq. 10) of block features (n, 36) to the model.

    Blocks without contrast lack features (nan); with fewer than two others there is no value.
    """
    whole = features[np.isfinite(features).all(axis=1)]
    if len(whole) < 2:
        return float("nan")
    difference = mean - np.nanmean(features, axis=0)
    pooled = (covariance + np.cov(whole, rowvar=False)) / 2
    return float(np.sqrt(difference @ np.linalg.pinv(pooled) @ difference))


def block_features(grey: Floats) -> Floats:
    """Features (n, 36) of the blocks of an image (H, W), row by row; what is left over is cut."""
    rows, columns = (length // BLOCK for length in grey.shape)
    image = grey[: rows * BLOCK, : columns * BLOCK]
    scales = []
    for side in (BLOCK, BLOCK // 2):
        values = normalised(image)
        blocks = values.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)
        scales.append([_features(block) for block in blocks])
        image = halved(image)
    return np.concatenate([np.array(scale) for scale in scales], axis=1)


def normalised(image: Floats) -> Floats:
    """Luminance less its local mean, over its local deviation plus 1 (eq. 1)."""
    radius = _WINDOW // 2
    ramp = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * _SIGMA**2))
    ramp /= ramp.sum()

    def smooth(values: Floats) -> Floats:
        once = ndimage.correlate1d(values, ramp, axis=0, mode="nearest")
        return np.asarray(ndimage.correlate1d(once, ramp, axis=1, mode="nearest"))

    mean = smooth(image)
    deviation = np.sqrt(np.abs(smooth(image * image) - mean * mean))
    result: Floats = (image - mean) / (deviation + 1)
    return result


def halved(image: Floats) -> Floats:
    """Half of the size by the bicubic kernel (a = -1/2), widened against aliasing."""
    distances = np.abs(np.arange(-3.5, 4)) / 2
    near, far = 1.5 * distances**3 - 2.5 * distances**2 + 1, -0.5 * distances**3
    far += 2.5 * distances**2 - 4 * distances + 2
    kernel = np.where(distances <= 1, near, far)
    kernel /= kernel.sum()
    for axis in (0, 1):
        # Of an even kernel the centre is its second half's first tap: output i lies at 2i + 0.5.
        image = ndimage.correlate1d(image, kernel, axis=axis, mode="reflect", origin=-1)
        image = image[::2] if axis == 0 else image[:, ::2]
    return image


def _features(block: Floats) -> list[float]:
    """The 18 features of a block of normalised luminance."""
    shape, left, right, _ = aggd(block)
    found = [shape, (left + right) / 2]
    for shift in _SHIFTS:
        shape, left, right, mean = aggd(block * np.roll(block, shift, axis=(0, 1)))
        found += [shape, mean, left, right]
    return found


def aggd(values: Floats) -> tuple[float, float, float, float]:
    """Fit an AGGD by moments (eq. 5-8): shape, left and right scale, mean.

    Where no value is negative or none is positive, the scales and the mean are nan, and the shape
    is the least of those tried, as in the authors' release.
    """
    negative, positive = values[values < 0], values[values > 0]
    if not len(negative) or not len(positive):
        return float(_SHAPES[0]), float("nan"), float("nan"), float("nan")
    left, right = (np.sqrt(np.mean(part**2)) for part in (negative, positive))
    ratio = left / right
    generalised = np.mean(np.abs(values)) ** 2 / np.mean(values**2)
    wanted = generalised * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shape = float(_SHAPES[np.argmin((_RATIOS - wanted) ** 2)])
    scale = np.sqrt(special.gamma(1 / shape) / special.gamma(3 / shape))
    mean = (right - left) * scale * special.gamma(2 / shape) / special.gamma(1 / shape)
    return shape, float(left * scale), float(right * scale), float(mean)
