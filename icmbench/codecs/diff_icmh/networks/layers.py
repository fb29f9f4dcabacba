"""Building blocks of the LFGCM codec: residual blocks, and side features that modulate others.

The attribute names are tensor names of the published checkpoints, which are the format: a block
whose attribute is renamed no longer reads them.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from icmbench.models.convolutions import conv

SLOPES = (0.01, 0.1)  # of the leaky ReLUs of a resampling block, after its two convolutions
SFT_SLOPE = 0.2  # of every leaky ReLU around a modulation


def conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution."""
    return conv(inputs, outputs, 3, stride)


def conv1x1(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """A 1x1 convolution."""
    return conv(inputs, outputs, 1, stride)


def side_feature(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Transform a side feature for the next layer that uses it."""
    return nn.Sequential(conv3x3(inputs, outputs, stride), nn.GELU(), conv1x1(outputs, outputs))


def side_fusion(inputs: int, outputs: int) -> nn.Sequential:
    """A side feature out of a concatenation of features."""
    return nn.Sequential(
        conv3x3(inputs, 4 * outputs),
        nn.GELU(),
        conv3x3(4 * outputs, 2 * outputs),
        nn.GELU(),
        conv3x3(2 * outputs, outputs),
    )


def subpixel(inputs: int, outputs: int) -> nn.Sequential:
    """Twice the size by a 1x1 convolution to four times the channels, laid out as 2x2 pixels."""
    return nn.Sequential(conv1x1(inputs, 4 * outputs), nn.PixelShuffle(2))


class ResidualBlockWithStride(nn.Module):
    """Half the size: (n, inputs, h, w) to (n, outputs, h/2, w/2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, outputs, 2)
        self.conv2 = conv3x3(outputs, outputs)
        self.downsample = conv1x1(inputs, outputs, 2)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        out = functional.leaky_relu(self.conv1(x), SLOPES[0])
        out = functional.leaky_relu(self.conv2(out), SLOPES[1])
        # Every other pixel first: of a 1x1 convolution with a stride, torch 2.14's backward pass
        # writes outside its memory on some CPUs (few channels, channels_last).
        layer = self.downsample
        shortcut = functional.conv2d(x[..., ::2, ::2], layer.weight, layer.bias)
        return out + shortcut


class ResidualBlockUpsample(nn.Module):
    """Twice the size: (n, inputs, h, w) to (n, outputs, 2h, 2w)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.subpel_conv = subpixel(inputs, outputs)
        self.conv = conv3x3(outputs, outputs)
        self.upsample = subpixel(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        out = functional.leaky_relu(self.subpel_conv(x), SLOPES[0])
        out = functional.leaky_relu(self.conv(out), SLOPES[1])
        shortcut: Tensor = self.upsample(x)
        return out + shortcut


class ResidualBottleneck(nn.Module):
    """A residual block that works in half the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            conv1x1(channels, channels // 2),
            nn.GELU(),
            conv3x3(channels // 2, channels // 2),
            nn.GELU(),
            conv1x1(channels // 2, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        branch: Tensor = self.branch(x)
        return x + branch


class SFT(nn.Module):
    """Modulates a feature by a side feature: a factor and a summand per value.

    `side` counts the channels of the side feature, `hidden` those in between. `limited`: the factor
    lies between 0 and 2; without, as published, a stack of modulations is a polynomial of the
    image.
    """

    def __init__(self, channels: int, side: int, hidden: int = 128, limited: bool = False) -> None:
        super().__init__()
        self.limited = limited
        # The activation is module 1 of the sequence, which has no tensors.
        self.mlp_shared = nn.Sequential(conv3x3(side, hidden), nn.LeakyReLU(SFT_SLOPE))
        self.mlp_gamma = conv3x3(hidden, channels)
        self.mlp_beta = conv3x3(hidden, channels)

    def forward(self, x: Tensor, side: Tensor) -> Tensor:
        """Modulate x (n, channels, h, w); a larger side feature is averaged down to its size."""
        if side.shape[-2:] != x.shape[-2:]:
            side = functional.adaptive_avg_pool2d(side, (x.shape[-2], x.shape[-1]))
        shared = self.mlp_shared(side)
        gamma = self.mlp_gamma(shared)
        gamma = gamma.tanh() if self.limited else gamma
        modulated: Tensor = x * (1 + gamma) + self.mlp_beta(shared)
        return modulated


class SFTResblk(nn.Module):
    """A residual block whose two convolutions have a modulated input."""

    def __init__(self, channels: int, side: int, hidden: int = 128, limited: bool = False) -> None:
        super().__init__()
        self.conv_0 = conv3x3(channels, channels)
        self.conv_1 = conv3x3(channels, channels)
        self.norm_0 = SFT(channels, side, hidden, limited)
        self.norm_1 = SFT(channels, side, hidden, limited)

    def forward(self, x: Tensor, side: Tensor) -> Tensor:
        """The block's output."""
        out = self.conv_0(functional.leaky_relu(self.norm_0(x, side), SFT_SLOPE))
        branch: Tensor = self.conv_1(functional.leaky_relu(self.norm_1(out, side), SFT_SLOPE))
        return x + branch


def resampled_stage(resample: nn.Module, channels: int) -> list[nn.Module]:
    """A layer that changes size or channels, and the three bottlenecks after it."""
    return [resample, *(ResidualBottleneck(channels) for _ in range(3))]
