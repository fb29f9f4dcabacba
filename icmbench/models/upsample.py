"""Enlargement before a convolution, as one transposed convolution.

A nearest-neighbour enlargement by two shows every value to a 3x3 convolution four times. The same
sums, added up by value instead of by place, are a 4x4 transposed convolution of stride 2: 16
products for four outputs instead of 36. It is the same map in exact arithmetic; in float32 it
differs in the last bits, so a decoder is folded either always or never.
"""

from __future__ import annotations

import torch
from diffusers.models.upsampling import Upsample2D


class FoldedUpsample(torch.nn.Module):
    """`Upsample2D` with a 3x3 convolution behind it, folded; for inference."""

    def __init__(self, original: Upsample2D) -> None:
        super().__init__()
        convolution = original.conv
        outputs, inputs = convolution.weight.shape[:2]
        self.fold = torch.nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)
        self.fold.weight = torch.nn.Parameter(folded_kernel(convolution.weight.data))
        self.fold.bias = torch.nn.Parameter(convolution.bias.data.clone())

    def forward(self, values: torch.Tensor, *_: object) -> torch.Tensor:
        """(n, C, h, w) to (n, C', 2h, 2w)."""
        enlarged: torch.Tensor = self.fold(values)
        return enlarged


def folded_kernel(kernel: torch.Tensor) -> torch.Tensor:
    """The transposed kernel (C, C', 4, 4) of a kernel (C', C, 3, 3).

    Output `2p + a` sees the enlarged value `2p + a + t - 1` through tap `t`: every tap reaches each
    low-resolution value from two places on either axis.
    """
    turned = kernel.permute(1, 0, 2, 3).flip(2, 3)
    folded = kernel.new_zeros((*turned.shape[:2], 4, 4))
    for down in (0, 1):
        for right in (0, 1):
            folded[:, :, down : down + 3, right : right + 3] += turned
    return folded


def fold_upsampling(network: torch.nn.Module) -> None:
    """Replace every `Upsample2D` that enlarges by two and convolves, in place."""
    for name, child in list(network.named_children()):
        if isinstance(child, Upsample2D) and child.use_conv and not child.use_conv_transpose:
            setattr(network, name, FoldedUpsample(child))
        else:
            fold_upsampling(child)
