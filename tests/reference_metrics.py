"""Plain numpy versions of the image metrics, written from the papers for the tests.

float64 throughout, one image pair at a time, no speed. They share no code with `icmbench.metrics`
nor with the packages it uses. Where a paper leaves a convention open (borders, odd sides), the
one that `Metric.settings` states is followed and named here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy.signal import convolve2d

from icmbench.metrics.ssimulacra2 import _kernel

YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def yiq(image: np.ndarray) -> np.ndarray:
    """float64 (h, w, 3) from 8-bit RGB, FCC NTSC matrix."""
    return image.astype(np.float64) @ YIQ.T


def block_means(plane: np.ndarray, size: int) -> np.ndarray:
    """Means of size x size blocks; rows and columns that fill no block are dropped."""
    height, width = (side // size * size for side in plane.shape)
    blocks = plane[:height, :width].reshape(height // size, size, width // size, size)
    return blocks.mean(axis=(1, 3))


def padded_half(plane: np.ndarray) -> np.ndarray:
    """2 x 2 means; where a side is odd, zeros follow it (the convention of piq)."""
    height, width = plane.shape
    grown = np.zeros((height + height % 2, width + width % 2))
    grown[:height, :width] = plane
    return block_means(grown, 2)


def same(plane: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """MATLAB's conv2(plane, kernel, 'same'): zeros outside, centre at floor(size / 2)."""
    full = convolve2d(plane, kernel)
    top, left = kernel.shape[0] // 2, kernel.shape[1] // 2
    return full[top : top + plane.shape[0], left : left + plane.shape[1]]


def ratio(a: np.ndarray, b: np.ndarray, constant: float) -> np.ndarray:
    return (2 * a * b + constant) / (a**2 + b**2 + constant)


def ms_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Wang, Simoncelli, Bovik 2003, (7), per channel, then averaged; odd sides get a zero on each
    end before they are halved (the convention of pytorch-msssim)."""
    weights = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    grid = np.arange(-5, 6)
    window = np.exp(-(grid[:, None] ** 2 + grid[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def smooth(plane: np.ndarray) -> np.ndarray:
        return convolve2d(plane, window, mode="valid")

    values = []
    for channel in range(3):
        a, b = x[..., channel].astype(np.float64), y[..., channel].astype(np.float64)
        product = 1.0
        for scale, weight in enumerate(weights):
            mean_a, mean_b = smooth(a), smooth(b)
            variances = smooth(a * a) - mean_a**2 + smooth(b * b) - mean_b**2
            covariance = smooth(a * b) - mean_a * mean_b
            term = (2 * covariance + 0.03**2 * 255**2) / (variances + 0.03**2 * 255**2)
            if scale == 4:
                term = term * ratio(mean_a, mean_b, 0.01**2 * 255**2)
            product *= max(term.mean(), 0.0) ** weight
            margins = [(side % 2, side % 2) for side in a.shape]
            a, b = (block_means(np.pad(plane, margins), 2) for plane in (a, b))
        values.append(product)
    return float(np.mean(values))


def gmsd(x: np.ndarray, y: np.ndarray) -> float:
    """Xue et al. 2014, (1)-(6), on YIQ luma in 0 to 255 with c = 170."""
    prewitt = np.array([[1, 0, -1]] * 3) / 3

    def magnitude(image: np.ndarray) -> np.ndarray:
        plane = padded_half(yiq(image)[..., 0])
        return np.hypot(same(plane, prewitt), same(plane, prewitt.T))

    return float(np.std(ratio(magnitude(x), magnitude(y), 170.0)))


def haarpsi(x: np.ndarray, y: np.ndarray) -> float:
    """Reisenhofer et al. 2018, (8)-(12) and the colour extension, C = 30, alpha = 4.2."""

    def haar(plane: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
        size = 2**scale
        kernel = np.full((size, size), 1 / size)
        kernel[: size // 2] *= -1
        return np.abs(same(plane, kernel)), np.abs(same(plane, kernel.T))

    def planes(image: np.ndarray) -> list[np.ndarray]:
        return [padded_half(plane) for plane in np.moveaxis(yiq(image), 2, 0)]

    (y1, i1, q1), (y2, i2, q2) = planes(x), planes(y)
    weights, similarities = [], []
    for direction in (0, 1):
        pairs = [(haar(y1, s)[direction], haar(y2, s)[direction]) for s in (1, 2, 3)]
        similarities.append((ratio(*pairs[0], 30.0) + ratio(*pairs[1], 30.0)) / 2)
        weights.append(np.maximum(*pairs[2]))
    box = np.full((2, 2), 0.25)
    chroma = [ratio(abs(same(a, box)), abs(same(b, box)), 30.0) for a, b in ((i1, i2), (q1, q2))]
    similarities.append((chroma[0] + chroma[1]) / 2)
    weights.append((weights[0] + weights[1]) / 2)
    logistic = [1 / (1 + np.exp(-4.2 * similarity)) for similarity in similarities]
    mean = sum((w * s).sum() for w, s in zip(weights, logistic, strict=True)) / sum(
        w.sum() for w in weights
    )
    return float((math.log(mean / (1 - mean)) / 4.2) ** 2)


def phase_congruency(plane: np.ndarray) -> np.ndarray:
    """Kovesi's PC with 4 scales and 4 orientations, as Zhang et al. 2011 section II-A uses it."""
    height, width = plane.shape

    def axis(size: int) -> np.ndarray:
        span = size - 1 if size % 2 else size
        return (np.arange(size) - size // 2) / span

    fx, fy = np.meshgrid(axis(width), axis(height))
    radius, theta = np.hypot(fx, fy), np.arctan2(-fy, fx)
    radius[height // 2, width // 2] = 1
    spectrum = np.fft.fft2(plane)
    energy_all, amplitude_all = np.zeros(plane.shape), np.zeros(plane.shape)
    for orientation in range(4):
        angle = orientation * np.pi / 4
        distance = np.abs((theta - angle + np.pi) % (2 * np.pi) - np.pi)
        spread = np.exp(-(distance**2) / (2 * (np.pi / 4 / 1.2) ** 2))
        responses, kernels, filters = [], [], []
        for scale in range(4):
            log_gabor = np.exp(
                -(np.log(radius * 6 * 2**scale) ** 2) / (2 * math.log(0.55) ** 2)
            ) / (1 + (radius / 0.45) ** 30)
            log_gabor[height // 2, width // 2] = 0
            filters.append(np.fft.ifftshift(log_gabor * spread))
            responses.append(np.fft.ifft2(spectrum * filters[-1]))
            kernels.append(np.fft.ifft2(filters[-1]).real * math.sqrt(plane.size))
        total = sum(responses)
        direction = total / (np.abs(total) + 1e-4)
        energy = np.zeros(plane.shape)
        for response in responses:
            rotated = response * direction.conj()
            energy += rotated.real - np.abs(rotated.imag)
        mean_square = np.median(np.abs(responses[0]) ** 2) / math.log(2)
        noise_power = mean_square / (filters[0] ** 2).sum()
        squares = sum((k**2).sum() for k in kernels)
        products = sum((kernels[i] * kernels[j]).sum() for j in range(4) for i in range(j))
        tau = math.sqrt((2 * squares + 4 * products) * noise_power / 2)
        threshold = tau * math.sqrt(math.pi / 2) + 2.0 * tau * math.sqrt(2 - math.pi / 2)
        energy_all += np.maximum(energy - threshold / 1.7, 0)
        amplitude_all += sum(np.abs(response) for response in responses)
    return energy_all / (amplitude_all + 1e-4)


def fsim(x: np.ndarray, y: np.ndarray) -> float:
    """Zhang et al. 2011, FSIMc, (5)-(11), after means over round(min side / 256)² pixels."""
    factor = max(1, round(min(x.shape[:2]) / 256))
    scharr = np.array([[3, 0, -3], [10, 0, -10], [3, 0, -3]]) / 16
    maps = []
    for image in (x, y):
        luma, i, q = (block_means(plane, factor) for plane in np.moveaxis(yiq(image), 2, 0))
        gradient = np.hypot(same(luma, scharr), same(luma, scharr.T))
        maps.append((phase_congruency(luma), gradient, i, q))
    (pc1, g1, i1, q1), (pc2, g2, i2, q2) = maps
    chroma = np.abs(ratio(i1, i2, 200.0) * ratio(q1, q2, 200.0)) ** 0.03
    weight = np.maximum(pc1, pc2)
    similarity = ratio(pc1, pc2, 0.85) * ratio(g1, g2, 160.0) * chroma
    return float((similarity * weight).sum() / weight.sum())


def ssimulacra2_norms(a: Any, b: Any) -> torch.Tensor:
    """float64 (channel, map, norm) of two images at one scale, as libjxl writes its formulas."""
    blurred = [_gauss(x.xyb * x.xyb) for x in (a, b)]
    covariance = 2 * (_gauss(a.xyb * b.xyb) - a.mean * b.mean) + 0.0009
    variances = (blurred[0] - a.mean * a.mean) + (blurred[1] - b.mean * b.mean) + 0.0009
    structure = 1 - (1 - (a.mean - b.mean) ** 2) * covariance / variances
    change = (1 + (b.xyb - b.mean).abs()) / (1 + (a.xyb - a.mean).abs()) - 1
    maps = torch.stack([structure, change, -change], dim=1).clamp(min=0).flatten(2)
    mean = maps.mean(2, dtype=torch.float64)
    fourth = maps.square().square().mean(2, dtype=torch.float64) ** 0.25
    return torch.stack([mean, fourth], dim=2)


def _gauss(planes: torch.Tensor) -> torch.Tensor:
    """The separable filter of SSIMULACRA 2, zeros outside: sums of shifted copies."""
    taps = _kernel()
    for dim in (2, 1):
        total = planes * taps[len(taps) // 2]
        for step in range(1, len(taps) // 2 + 1):
            shifted = torch.zeros_like(planes)
            size = planes.shape[dim]
            if step < size:
                shifted.narrow(dim, step, size - step).add_(planes.narrow(dim, 0, size - step))
                shifted.narrow(dim, 0, size - step).add_(planes.narrow(dim, step, size - step))
            total.add_(shifted, alpha=taps[len(taps) // 2 + step])
        planes = total
    return planes
