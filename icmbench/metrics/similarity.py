"""HaarPSI and GMSD: the operations of piq 0.8, in its order, so values are equal.

piq transforms the original anew for each reconstruction, and loading it takes longer than loading
torch. Here an image's own maps are kept with it (`Picture.once`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from icmbench.metrics.picture import Picture

_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
_HAAR_C, _HAAR_ALPHA = 30.0, 4.2
_GMSD_T = 170 / 255.0**2


@dataclass(frozen=True)
class _Haar:
    """Magnitudes of an image's Haar coefficients.

    Attributes:
        coarse: of the coarsest scale, (1, 2, h, w): the weights.
        fine: per orientation of the two finer scales, (1, 2, h, w), and of I and Q; with squares.
    """

    coarse: torch.Tensor
    fine: list[tuple[torch.Tensor, torch.Tensor]]


def haarpsi(original: Picture, reconstruction: Picture) -> float:
    """Reisenhofer, Bosse, Kutyniok, Wiegand, Signal Processing: Image Communication 2018, (12).

    Two black images have no wavelet coefficient to weigh by, for which piq gives inf: here 1.
    """
    if not original.pixels.any() and not reconstruction.pixels.any():
        return 1.0
    a, b = _haar(original), _haar(reconstruction)
    weights = torch.max(a.coarse, b.coarse)
    weights = torch.cat([weights, weights.mean(dim=1, keepdim=True)], dim=1)
    maps = [
        _similarity(*pair, _HAAR_C).sum(dim=1, keepdim=True) / 2
        for pair in zip(a.fine, b.fine, strict=True)
    ]
    similar = torch.cat(maps, dim=1)
    eps = torch.finfo(similar.dtype).eps
    dims = [1, 2, 3]
    score = (((similar * _HAAR_ALPHA).sigmoid() * weights).sum(dim=dims) + eps) / (
        torch.sum(weights, dim=dims) + eps
    )
    return float((torch.log(score / (1 - score)) / _HAAR_ALPHA) ** 2)


def gmsd(original: Picture, reconstruction: Picture) -> float:
    """Xue, Zhang, Mou, Bovik, IEEE TIP 2014: standard deviation of the gradient similarity map."""
    similar = _similarity(_gradient(original), _gradient(reconstruction), _GMSD_T)
    mean = torch.mean(similar, dim=[1, 2, 3], keepdim=True)
    return float(torch.pow(similar - mean, 2).mean(dim=[1, 2, 3]).sqrt())


def _similarity(
    a: tuple[torch.Tensor, torch.Tensor], b: tuple[torch.Tensor, torch.Tensor], constant: float
) -> torch.Tensor:
    """Similarity of two maps, each given with its square."""
    return (2.0 * a[0] * b[0] + constant) / (a[1] + b[1] + constant)


def _haar(picture: Picture) -> _Haar:
    def compute() -> _Haar:
        yiq = _halved(_yiq(picture.tensor / 255.0 * 255))
        luma, bands = yiq[:, :1], []
        for size in (2, 4, 8):
            kernel = torch.ones((1, size, size)) / size
            kernel[:, size // 2 :] *= -1
            # As MATLAB's conv2(A, B, 'same').
            padded = F.pad(luma, [size // 2 - 1, size // 2] * 2)
            bands.append(F.conv2d(padded, torch.stack([kernel, kernel.transpose(-1, -2)])).abs())
        colour = F.avg_pool2d(F.pad(yiq, [0, 1, 0, 1])[:, 1:], kernel_size=2, stride=1).abs()
        both = [torch.cat([band[:, n : n + 1] for band in bands[:2]], dim=1) for n in (0, 1)]
        return _Haar(bands[2], [(plane, plane**2) for plane in (*both, colour)])

    return picture.once("haar", compute)


def _gradient(picture: Picture) -> tuple[torch.Tensor, torch.Tensor]:
    """Magnitudes of the luma's Prewitt gradients, (1, 1, h, w), and their squares."""

    def compute() -> tuple[torch.Tensor, torch.Tensor]:
        luma = _halved(_yiq(picture.tensor / 255.0)[:, :1])
        prewitt = torch.tensor([[[-1.0, 0.0, 1.0]] * 3]) / 3
        gradients = F.conv2d(luma, torch.stack([prewitt, prewitt.transpose(-1, -2)]), padding=1)
        magnitude = torch.sqrt(torch.sum(gradients**2, dim=-3, keepdim=True))
        return magnitude, magnitude**2

    return picture.once("gradient", compute)


def _yiq(rgb: torch.Tensor) -> torch.Tensor:
    return torch.matmul(rgb.permute(0, 2, 3, 1), torch.tensor(_YIQ).t()).permute(0, 3, 1, 2)


def _halved(planes: torch.Tensor) -> torch.Tensor:
    """Means of 2 x 2 pixels; where a side is odd, a row and a column of zeros follow."""
    odd = max(planes.shape[2] % 2, planes.shape[3] % 2)
    return F.avg_pool2d(F.pad(planes, [0, odd, 0, odd]), kernel_size=2, stride=2)
