"""Losses of a reconstruction, for every network that is trained through the decoder."""

from __future__ import annotations

import torch
from pytorch_msssim import ssim


def picture_losses(shown: torch.Tensor, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Squared error and 1 - SSIM of images float32 (n, 3, H, W) in [-1, 1]."""
    error = torch.nn.functional.mse_loss(shown, pixels)
    return error, 1 - ssim(shown + 1, pixels + 1, data_range=2)
