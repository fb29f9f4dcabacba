"""Convolutions that keep, divide or multiply the size of a map exactly."""

from __future__ import annotations

from torch import nn


def conv(inputs: int, outputs: int, kernel: int = 5, stride: int = 1) -> nn.Conv2d:
    """A convolution with bias that keeps the size, or divides it by the stride (rounded up)."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)


def deconv(inputs: int, outputs: int, kernel: int = 5, stride: int = 2) -> nn.ConvTranspose2d:
    """A transposed convolution that multiplies the size by exactly the stride."""
    return nn.ConvTranspose2d(inputs, outputs, kernel, stride, kernel // 2, stride - 1)
