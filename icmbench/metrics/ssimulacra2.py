"""SSIMULACRA 2.1: J. Sneyers, libjxl `tools/ssimulacra2.cc` (April 2023), checked against it.

The PyPI package of the same name gives the 108 tuned weights. Its own score (0.3.0) is not used:
below 225 pixels a side it drops a scale and so shifts the weights (up to 34 points on our stored
pairs), and it mirrors the left and right edges where libjxl has zeros (0.2 to 3 points).

What is left between this module and libjxl's program (0.03 points at 200 pixels, up to 0.2 at
768 x 512) is the rounding of libjxl's recursive filter in single precision, which grows along a
row: that recursion in float32 reproduces it, and float64 agrees with this module to 0.003.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from icmbench.core.errors import MeasurementError
from icmbench.metrics.picture import Picture

_C2 = 0.0009
_SCALES = 6
_SMALLEST_SIDE = 8  # a scale with a shorter side is the last
_SIGMA = 1.5
_CACHED = 200_000  # values that are filtered together; more do not fit into the processor's cache
# JPEG XL's opsin absorbance (ISO/IEC 18181-1, XYB): mixed = matrix @ linear RGB + bias.
_ABSORBANCE = (
    (0.30, 1 - 0.30 - 0.078, 0.078),
    (0.23, 1 - 0.23 - 0.078, 0.078),
    (0.24342268924547819, 0.20476744424496821, 1 - 0.24342268924547819 - 0.20476744424496821),
)
_BIAS = 0.0037930732552754493


@dataclass(frozen=True)
class _Scale:
    """float32 maps (3, h, w) of an image at one scale.

    Attributes:
        xyb: the planes; mean, variance: of their neighbourhoods.
        detail: 1 + the distance from the mean.
    """

    xyb: torch.Tensor
    mean: torch.Tensor
    variance: torch.Tensor
    detail: torch.Tensor


def ssimulacra2(original: Picture, reconstruction: Picture) -> float:
    """100 for equal images, about 90 visually lossless, 30 low quality, no lower bound.

    Not symmetric: gained and lost detail weigh differently. Images with a side below 113 have
    fewer than six scales and then take the weights in a row from the first on, as libjxl does.
    """
    ours, theirs = (
        picture.once("xyb", functools.partial(_scales, picture.pixels))
        for picture in (original, reconstruction)
    )
    # (scales, channel, map, norm) -> the weights' order: channel, scale, norm, map.
    norms = torch.stack([_norms(a, b) for a, b in zip(ours, theirs, strict=True)])
    terms = norms.permute(1, 0, 3, 2).reshape(-1).numpy()
    return _score(float(_weights()[: terms.size] @ terms))


@functools.cache
def _weights() -> np.ndarray:
    """float64 (108,): channels X, Y, B-Y; in each the scales; norms 1, 4; the three maps."""
    try:
        from ssimulacra2.ssimulacra2 import weights
    except ImportError as error:
        raise MeasurementError("ssimulacra2: the package `ssimulacra2` is missing") from error
    if weights.shape != (6 * 3 * 3 * 2,):
        raise MeasurementError(f"ssimulacra2: 108 weights expected, the package has {weights.size}")
    return np.asarray(weights, dtype=np.float64)


def _score(weighted: float) -> float:
    error = weighted * 0.9562382616834844
    cubic = (
        2.326765642916932 * error
        - 0.020884521182843837 * error**2
        + 6.248496625763138e-05 * error**3
    )
    return 100.0 - 10.0 * cubic**0.6276336467831387 if cubic > 0 else 100.0


def _scales(pixels: np.ndarray) -> list[_Scale]:
    """From uint8 sRGB (h, w, 3); halved between scales in linear light."""
    linear = torch.from_numpy(_linear()[pixels.transpose(2, 0, 1)])
    scales: list[_Scale] = []
    while len(scales) < _SCALES:
        xyb = _positive_xyb(linear)
        mean = _blur(xyb)
        variance = _blur(xyb * xyb).sub_(mean * mean)
        scales.append(_Scale(xyb, mean, variance, (xyb - mean).abs_().add_(1)))
        if min(linear.shape[-2:]) < _SMALLEST_SIDE:
            break
        linear = _halve(linear)
    return scales


@functools.cache
def _linear() -> np.ndarray:
    """float32 (256,): linear light of sRGB's code values."""
    code = np.arange(256) / 255.0
    curve = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    return curve.astype(np.float32)


def _halve(linear: torch.Tensor) -> torch.Tensor:
    """Means of 2 x 2 pixels; the last row or column of an odd side is repeated."""
    height, width = linear.shape[-2:]
    padded = F.pad(linear[None], (0, width % 2, 0, height % 2), mode="replicate")
    return F.avg_pool2d(padded, 2)[0]


def _positive_xyb(linear: torch.Tensor) -> torch.Tensor:
    """XYB, rescaled to about 0 to 1, B replaced by B - Y; (3, h, w)."""
    matrix = torch.tensor(_ABSORBANCE, dtype=linear.dtype, device=linear.device)
    mixed = torch.einsum("ij,jhw->ihw", matrix, linear) + _BIAS
    long, medium, short = torch.clamp(mixed, min=0) ** (1 / 3) - math.cbrt(_BIAS)
    x, y = (long - medium) / 2, (long + medium) / 2
    return torch.stack([x * 14 + 0.42, y + 0.01, short - y + 0.55])


@functools.cache
def _kernel() -> tuple[float, ...]:
    """The nine taps that libjxl's recursive Gaussian comes to.

    Charalampidis, IEEE TSP 64(24), 2016: a sum of the cosines of odd order k = 1, 3, 5 over
    |n| <= N, whose coefficients are fixed by unit sum, by the Gaussian's variance and by a
    least-squares match of the rest. At n = ±N every cosine is zero.
    """
    radius = round(3.2795 * _SIGMA + 0.2546)
    omega = np.array([1, 3, 5]) * np.pi / (2 * radius)
    first = np.array([1, -1, 1]) / np.tan(omega / 2)
    second = np.array([1, -1, 1]) * first**2 / np.sin(omega)
    matched = np.exp(-0.5 * _SIGMA**2 * omega**2) / radius
    cross = np.cross(first, second)  # perpendicular to both constraints
    system = np.stack([first, second, cross / cross[2]])
    target = np.array([1.0, radius**2 - _SIGMA**2, (cross / cross[2]) @ matched])
    coefficients = np.linalg.solve(system, target)
    taps = np.arange(-(radius - 1), radius)
    return tuple(float(v) for v in np.cos(np.outer(taps, omega)) @ coefficients)


def _blur(planes: torch.Tensor) -> torch.Tensor:
    """Separable, zeros outside the image; (n, h, w) to the same shape."""
    if planes.numel() <= _CACHED:
        return _blur_along(_blur_along(planes, 2), 1)
    return torch.cat([_blur_along(_blur_along(plane, 2), 1) for plane in torch.split(planes, 1)])


def _blur_along(planes: torch.Tensor, dim: int) -> torch.Tensor:
    # Sums of shifted views: fifteen times as fast as conv2d with one channel on the CPU.
    taps, size = _kernel(), planes.shape[dim]
    reach = len(taps) // 2
    padded = F.pad(planes, (reach, reach) if dim == 2 else (0, 0, reach, reach))
    total, both = planes * taps[reach], torch.empty_like(planes)
    for step in range(1, reach + 1):
        before, after = (padded.narrow(dim, reach + s, size) for s in (-step, step))
        total.add_(torch.add(before, after, out=both), alpha=taps[reach + step])
    return total


def _norms(a: _Scale, b: _Scale) -> torch.Tensor:
    """float64 (channel, map, norm): structural error, gained and lost detail; mean and 4-norm."""
    maps = torch.empty((3, 3, *a.xyb.shape[1:]))
    structure, gained, lost = maps.unbind(1)
    covariance = _blur(a.xyb * b.xyb).sub_(a.mean * b.mean).mul_(2).add_(_C2)
    variances = (a.variance + b.variance).add_(_C2)
    # 1 - (1 - (difference of the means)^2) * covariance / variances, in place.
    torch.sub(a.mean, b.mean, out=structure).square_().neg_().add_(1).mul_(covariance)
    structure.div_(variances).neg_().add_(1).clamp_(min=0)
    change = (b.detail / a.detail).sub_(1)
    torch.clamp(change, min=0, out=gained)
    torch.clamp(change.neg_(), min=0, out=lost)
    flat = maps.flatten(2)
    mean = flat.mean(2, dtype=torch.float64)
    fourth = flat.square_().square_().mean(2, dtype=torch.float64) ** 0.25
    return torch.stack([mean, fourth], dim=2)
