"""Losses of a reconstruction, for every network that is trained through the decoder."""

from __future__ import annotations

import math
from typing import Final

import torch
from pytorch_msssim import ssim

SCALES: Final = 3  # of `scale_losses`, at most
WINDOW: Final = 11  # of SSIM in pixels: no scale is smaller


def picture_losses(shown: torch.Tensor, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Squared error and 1 - SSIM of images float32 (n, 3, H, W) in [-1, 1]."""
    error = torch.nn.functional.mse_loss(shown, pixels)
    return error, 1 - ssim(shown + 1, pixels + 1, data_range=2)


def structure_of_each(shown: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Compute 1 - SSIM of every image, the mean of up to three scales, float32 (n).

    Images as of `picture_losses`. Computed outside of any autocast: SSIM is made of differences of
    mean squares, which lose their digits in bfloat16.
    """
    with torch.autocast(shown.device.type, enabled=False):
        shown, pixels = shown.float(), pixels.float()
        scales = min(SCALES, 1 + int(math.log2(min(pixels.shape[2:]) / WINDOW)))
        found = []
        for scale in range(scales):
            if scale:
                shown, pixels = (torch.nn.functional.avg_pool2d(e, 2) for e in (shown, pixels))
            found.append(1 - ssim(shown + 1, pixels + 1, data_range=2, size_average=False))
        return torch.stack(found).mean(0)


def scale_losses(shown: torch.Tensor, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Squared error, and 1 - SSIM as the mean of up to three scales; images as above."""
    error, structure = picture_losses(shown, pixels)
    scales = min(SCALES, 1 + int(math.log2(min(pixels.shape[2:]) / WINDOW)))
    for _ in range(scales - 1):
        shown, pixels = (torch.nn.functional.avg_pool2d(each, 2) for each in (shown, pixels))
        structure = structure + picture_losses(shown, pixels)[1]
    return error, structure / scales
