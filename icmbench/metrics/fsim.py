"""FSIMc: L. Zhang, L. Zhang, Mou, Zhang, IEEE TIP 20(8), 2011, doi 10.1109/TIP.2011.2109730.

Written here because what depends on the original alone (its phase congruency) and on the image
size alone (the log-Gabor filters and their noise constants) is most of the work: kept between
calls, FSIM costs a third. Phase congruency is Kovesi's (Videre 1(3), 1999) with the parameters of
the FSIM paper, section II-A and the authors' published settings.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from icmbench.metrics.picture import Picture

_SCALES, _ORIENTATIONS = 4, 4
_SHORTEST_WAVELENGTH, _WAVELENGTH_RATIO = 6, 2
_BANDWIDTH = 0.55  # of a log-Gabor filter: standard deviation over centre frequency
_ANGULAR_RATIO = 1.2  # angle between filters over the standard deviation of their angular Gaussian
_NOISE_DEVIATIONS = 2.0
_NOISE_OVERESTIMATE = 1.7
_TINY = 1e-4  # keeps empty regions from dividing zero by zero (Kovesi's value)
_T1, _T2, _T3, _T4, _LAMBDA = 0.85, 160.0, 200.0, 200.0, 0.03
_RGB_TO_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


@dataclass(frozen=True)
class _Filters:
    """`bank` float32 (orientations, scales, h, w), zero frequency first; `noise_gain` per
    orientation: the squared noise energy to expect for each unit of smallest-scale response."""

    bank: torch.Tensor
    noise_gain: tuple[float, ...]


@dataclass(frozen=True)
class _Features:
    """float32 maps (h, w): phase congruency, gradient magnitude, I and Q."""

    congruency: torch.Tensor
    gradient: torch.Tensor
    i: torch.Tensor
    q: torch.Tensor


def fsim(original: Picture, reconstruction: Picture) -> float:
    """FSIMc, 1 for equal images. Where neither image has any feature, all pixels weigh the same."""
    a = original.once("fsim", lambda: _features(original.tensor))
    b = reconstruction.once("fsim", lambda: _features(reconstruction.tensor))
    chroma = _similarity(a.i, b.i, _T3) * _similarity(a.q, b.q, _T4)
    similarity = (
        _similarity(a.congruency, b.congruency, _T1)
        * _similarity(a.gradient, b.gradient, _T2)
        * chroma.abs() ** _LAMBDA
    ).double()
    weight = torch.maximum(a.congruency, b.congruency).double()
    total = float(weight.sum())
    if total == 0.0:
        return float(similarity.mean())
    return float((similarity * weight).sum()) / total


def _similarity(a: torch.Tensor, b: torch.Tensor, constant: float) -> torch.Tensor:
    return (2 * a * b + constant) / (a * a + b * b + constant)


def _features(rgb: torch.Tensor) -> _Features:
    factor = max(1, round(min(rgb.shape[-2:]) / 256))
    small = F.avg_pool2d(rgb, factor)[0]
    matrix = torch.tensor(_RGB_TO_YIQ, dtype=rgb.dtype, device=rgb.device)
    y, i, q = torch.einsum("ij,jhw->ihw", matrix, small)
    return _Features(_phase_congruency(y), _scharr_magnitude(y), i, q)


def _scharr_magnitude(y: torch.Tensor) -> torch.Tensor:
    """Gradient magnitude with Scharr's kernel / 16, zeros outside the image."""
    kernel = torch.tensor([[3.0, 0.0, -3.0], [10.0, 0.0, -10.0], [3.0, 0.0, -3.0]]) / 16
    kernels = torch.stack([kernel, kernel.T])[:, None].to(y)
    horizontal, vertical = F.conv2d(y[None, None], kernels, padding=1)[0]
    return torch.sqrt(horizontal**2 + vertical**2)


def _phase_congruency(y: torch.Tensor) -> torch.Tensor:
    """(h, w) in 0 to 1: noise-compensated local energy over the sum of filter amplitudes."""
    filters = _filters(y.shape[0], y.shape[1], str(y.device))
    spectrum = torch.fft.fft2(y)
    energy_sum = torch.zeros_like(y)
    amplitude_sum = torch.zeros_like(y)
    for bank, gain in zip(filters.bank, filters.noise_gain, strict=True):
        response = torch.view_as_real(torch.fft.ifft2(spectrum * bank))
        even, odd = response[..., 0], response[..., 1]
        amplitude = torch.sqrt(even * even + odd * odd)
        amplitude_sum += amplitude.sum(0)
        total_even, total_odd = even.sum(0), odd.sum(0)
        length = torch.sqrt(total_even**2 + total_odd**2) + _TINY
        mean_even, mean_odd = total_even / length, total_odd / length
        aligned = even * mean_even + odd * mean_odd
        crossed = even * mean_odd - odd * mean_even
        energy = (aligned - crossed.abs()).sum(0)
        energy_sum += torch.clamp(energy - _noise_threshold(amplitude[0], gain), min=0)
    return energy_sum / (amplitude_sum + _TINY)


def _noise_threshold(finest_amplitude: torch.Tensor, gain: float) -> float:
    """The energy that noise alone would reach, from the median response at the finest scale."""
    median = float(np.median(finest_amplitude.cpu().numpy().astype(np.float64) ** 2))
    # The median of a chi-squared variable of two degrees is ln 2 times its mean.
    energy_squared = median / math.log(2) * gain
    rayleigh = math.sqrt(energy_squared / 2)
    mean = rayleigh * math.sqrt(math.pi / 2)
    deviation = rayleigh * math.sqrt(2 - math.pi / 2)
    return (mean + _NOISE_DEVIATIONS * deviation) / _NOISE_OVERESTIMATE


@functools.lru_cache(maxsize=4)
def _filters(height: int, width: int, device: str) -> _Filters:
    vertical, horizontal = np.meshgrid(_frequencies(height), _frequencies(width), indexing="ij")
    radius = np.hypot(vertical, horizontal)
    lowpass = 1 / (1 + (radius / 0.45) ** 30)
    angle = np.arctan2(-vertical, horizontal)
    radius[0, 0] = 1.0  # its logarithm must exist; the filters are set to zero there
    radial = []
    for scale in range(_SCALES):
        centre = 1 / (_SHORTEST_WAVELENGTH * _WAVELENGTH_RATIO**scale)
        curve = np.exp(-(np.log(radius / centre) ** 2) / (2 * math.log(_BANDWIDTH) ** 2)) * lowpass
        curve[0, 0] = 0.0
        radial.append(curve)
    spread = math.pi / _ORIENTATIONS / _ANGULAR_RATIO
    bank = np.empty((_ORIENTATIONS, _SCALES, height, width))
    for orientation in range(_ORIENTATIONS):
        turn = angle - orientation * math.pi / _ORIENTATIONS
        distance = np.abs(np.arctan2(np.sin(turn), np.cos(turn)))
        bank[orientation] = np.exp(-(distance**2) / (2 * spread**2)) * np.stack(radial)
    gains = tuple(_noise_gain(of_orientation) for of_orientation in bank)
    return _Filters(torch.from_numpy(bank.astype(np.float32)).to(device), gains)


def _frequencies(size: int) -> np.ndarray:
    """Cycles per pixel, zero first; an odd size reaches ±1/2 as in Kovesi's code, (size,)."""
    if size % 2:
        centred = np.arange(-(size - 1) / 2, size / 2) / (size - 1)
    else:
        centred = np.arange(-size / 2, size / 2) / size
    return np.fft.ifftshift(centred)


def _noise_gain(bank: np.ndarray) -> float:
    """Kovesi's estimate of E² due to noise, per unit of squared response; `bank` (scales, h, w)."""
    kernels = np.fft.ifft2(bank).real * math.sqrt(bank[0].size)
    squares = float((kernels**2).sum())
    # The sum over pairs i < j of k_i k_j is half of (sum of k)² minus the sum of k².
    pairs = (float((kernels.sum(0) ** 2).sum()) - squares) / 2
    return (2 * squares + 4 * pairs) / float((bank[0] ** 2).sum())
