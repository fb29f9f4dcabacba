"""Normalisation with fixed statistics, independent of the rest of the image.

Group normalisation takes its statistics from everything it is given: a tile then decodes to other
pixels than the same place of the whole image, and so does a training crop. Here every group norm
becomes one with fixed statistics, which are learnt over the first part of the training: from then
on it is an affine map, and what a pixel becomes depends on its surroundings alone.
"""

from __future__ import annotations

import torch


class FixedNorm(torch.nn.Module):
    """Batch normalisation (Ioffe and Szegedy 2015) that can be frozen for good.

    In training mode it normalises by the batch and keeps running statistics; in evaluation mode
    by those. Its tensors have the names of torch.nn.BatchNorm2d, without the counter.
    """

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = torch.nn.Parameter(torch.ones(channels))
        self.bias = torch.nn.Parameter(torch.zeros(channels))
        self.running_mean: torch.Tensor
        self.running_var: torch.Tensor
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Normalise (n, C, h, w) by channel."""
        return torch.nn.functional.batch_norm(
            values,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=self.training,
            momentum=0.05,
            eps=self.eps,
        )


def fixed_norms(network: torch.nn.Module) -> None:
    """Replace every GroupNorm of a network by a FixedNorm of as many channels, in place."""
    for name, child in list(network.named_children()):
        if isinstance(child, torch.nn.GroupNorm):
            setattr(network, name, FixedNorm(child.num_channels, child.eps))
        else:
            fixed_norms(child)


def freeze_norms(network: torch.nn.Module) -> None:
    """Let the norms of a network keep their statistics from here on."""
    for module in network.modules():
        if isinstance(module, FixedNorm):
            module.eval()
