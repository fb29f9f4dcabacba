"""SSIM and MS-SSIM: the operations of pytorch-msssim 1.0, in its order, so values are equal.

The package filters the original anew for each reconstruction, and both metrics filter the same
full-resolution images. Here an image's own maps are kept with it (`Picture.once`).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from icmbench.metrics.picture import Picture

_C1, _C2 = ((k * 255) ** 2 for k in (0.01, 0.03))
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


@dataclass(frozen=True)
class _Level:
    """An image at one scale, float32 (1, 3, h, w): pixels, local means, their squares, variances.

    The maps have the valid positions of the window only.
    """

    pixels: torch.Tensor
    mean: torch.Tensor
    mean_square: torch.Tensor
    variance: torch.Tensor


def ssim(original: Picture, reconstruction: Picture) -> float:
    """Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 2004; mean over the R, G and B maps.

    11 x 11 Gaussian window, sigma 1.5, only where it lies fully inside the image, K = (0.01, 0.03).
    """
    return float(_similarity(original, reconstruction, 0)[0].mean())


def ms_ssim(original: Picture, reconstruction: Picture) -> float:
    """Wang, Simoncelli, Bovik, Asilomar 2003; mean over R, G and B of the five-scale products.

    Negative contrast-structure means are set to 0. Between scales the image is averaged over
    2 x 2 pixels; an odd side is padded with a row of zeros at both ends, which is the package's
    convention.
    """
    scales = range(len(_WEIGHTS))
    pairs = [_similarity(original, reconstruction, scale) for scale in scales]
    factors = torch.stack([torch.relu(cs) for _, cs in pairs[:-1]] + [torch.relu(pairs[-1][0])])
    return float(torch.prod(factors ** factors.new_tensor(_WEIGHTS).view(-1, 1, 1), dim=0).mean())


def _similarity(
    original: Picture, reconstruction: Picture, scale: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """SSIM and its contrast-structure factor at a scale, means over the image, (1, 3)."""

    def compare() -> tuple[torch.Tensor, torch.Tensor]:
        a, b = _level(original, scale), _level(reconstruction, scale)
        means = a.mean * b.mean
        covariance = _blur(a.pixels * b.pixels) - means
        cs = (2 * covariance + _C2) / (a.variance + b.variance + _C2)
        full = ((2 * means + _C1) / (a.mean_square + b.mean_square + _C1)) * cs
        return torch.flatten(full, 2).mean(-1), torch.flatten(cs, 2).mean(-1)

    return reconstruction.once(("similarity", original, scale), compare)


def _level(picture: Picture, scale: int) -> _Level:
    def compute() -> _Level:
        pixels = _halved(picture, scale)
        mean = _blur(pixels)
        square = mean.pow(2)
        return _Level(pixels, mean, square, _blur(pixels * pixels) - square)

    return picture.once(("level", scale), compute)


def _halved(picture: Picture, scale: int) -> torch.Tensor:
    """The image after `scale` means over 2 x 2 pixels."""
    if scale == 0:
        # In this order grouped convolutions are three times as fast.
        return picture.tensor.contiguous(memory_format=torch.channels_last)
    finer = _level(picture, scale - 1).pixels
    return F.avg_pool2d(finer, kernel_size=2, padding=[side % 2 for side in finer.shape[2:]])


@functools.cache
def _window() -> torch.Tensor:
    offsets = torch.arange(11, dtype=torch.float) - 5
    window = torch.exp(-(offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    return window.repeat([3, 1, 1, 1])


def _blur(planes: torch.Tensor) -> torch.Tensor:
    down = F.conv2d(planes, _window().transpose(2, -1), groups=3)
    return F.conv2d(down, _window(), groups=3)
