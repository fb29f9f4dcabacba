"""ESPNet, a small network for semantic segmentation, with the decoder.

Mehta et al. 2018, *ESPNet: Efficient Spatial Pyramid of Dilated Convolutions for Semantic
Segmentation* (ECCV): the ESP module of section 3.1 and figure 1, the network of figure 4d. Layers
are named as in the authors' files of weights, whose tensors they take::

    image -level1-> 1/2 -level2-> 1/4 -level3-> 1/8     (each also gets the reduced image)
                       |             |              |
    labels <-classifier- conv <-up_l2- combine <-up_l3-
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

DILATIONS: Final = (1, 2, 4, 8, 16)  # of an ESP module's branches
WIDTHS: Final = (16, 64, 128)  # channels at 1/2, 1/4 and 1/8
EPSILON: Final = 1e-3  # of the normalisations
SHRINK: Final = 8  # the image's sides are multiples of it


class Norm(nn.Module):
    """Batch normalisation and PReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(width, eps=EPSILON)
        self.act = nn.PReLU(width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w), the shape kept."""
        result: Tensor = self.act(self.bn(x))
        return result


class Conv(nn.Module):
    """A convolution without bias that keeps the size, or halves it at stride 2."""

    def __init__(
        self, inputs: int, outputs: int, side: int, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        padding = dilation * (side // 2)
        self.conv = nn.Conv2d(inputs, outputs, side, stride, padding, dilation, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        result: Tensor = self.conv(x)
        return result


class ConvNorm(Conv):
    """`Conv`, batch normalisation and PReLU."""

    def __init__(self, inputs: int, outputs: int, side: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, side, stride)
        self.bn = nn.BatchNorm2d(outputs, eps=EPSILON)
        self.act = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """As `Conv`."""
        result: Tensor = self.act(self.bn(self.conv(x)))
        return result


class Pyramid(nn.Module):
    """Reduce, then dilated convolutions side by side, summed up from the least dilated one on.

    The sums (hierarchical feature fusion, section 3.1) take away the grid that dilation leaves.
    The first branch has the channels that do not divide by five.
    """

    def __init__(self, inputs: int, outputs: int, side: int, stride: int) -> None:
        super().__init__()
        width = outputs // len(DILATIONS)
        self.c1 = Conv(inputs, width, side, stride)
        first = outputs - width * (len(DILATIONS) - 1)
        for dilation in DILATIONS:
            branch = Conv(width, first if dilation == 1 else width, 3, dilation=dilation)
            self.add_module(f"d{dilation}", branch)

    def merged(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride), not yet normalised."""
        reduced = self.c1(x)
        parts = [self.get_submodule(f"d{dilation}")(reduced) for dilation in DILATIONS]
        for place in range(2, len(parts)):
            parts[place] = parts[place] + parts[place - 1]
        return torch.cat(parts, dim=1)


class Halving(Pyramid):
    """The ESP module that halves the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, 2)
        self.bn = nn.BatchNorm2d(outputs, eps=EPSILON)
        self.act = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / 2, w / 2)."""
        result: Tensor = self.act(self.bn(self.merged(x)))
        return result


class Esp(Pyramid):
    """The ESP module that keeps the size; where `residual`, its input is added."""

    def __init__(self, inputs: int, outputs: int, residual: bool) -> None:
        super().__init__(inputs, outputs, 1, 1)
        self.bn = Norm(outputs)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h, w)."""
        merged = self.merged(x)
        result: Tensor = self.bn(x + merged if self.residual else merged)
        return result


class Encoder(nn.Module):
    """Levels of 1/2, 1/4 and 1/8 of the size, with `repeats` ESP modules at the last two."""

    def __init__(self, classes: int, repeats: tuple[int, int]) -> None:
        super().__init__()
        half, quarter, eighth = WIDTHS
        self.level1 = ConvNorm(3, half, 3, 2)
        self.b1 = Norm(half + 3)
        self.level2_0 = Halving(half + 3, quarter)
        self.level2 = nn.Sequential(*(Esp(quarter, quarter, True) for _ in range(repeats[0])))
        self.b2 = Norm(2 * quarter + 3)
        self.level3_0 = Halving(2 * quarter + 3, eighth)
        self.level3 = nn.Sequential(*(Esp(eighth, eighth, True) for _ in range(repeats[1])))
        self.b3 = Norm(2 * eighth)
        self.classifier = Conv(2 * eighth, classes, 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(n, 3, H, W) to features at 1/2 and 1/4 and class scores at 1/8."""
        half = nn.functional.avg_pool2d(pictures, 3, 2, 1)
        quarter = nn.functional.avg_pool2d(half, 3, 2, 1)
        first = self.b1(torch.cat([self.level1(pictures), half], 1))
        begin = self.level2_0(first)
        second = self.b2(torch.cat([self.level2(begin), begin, quarter], 1))
        begin = self.level3_0(second)
        third = self.b3(torch.cat([begin, self.level3(begin)], 1))
        return first, second, self.classifier(third)


class EspNet(nn.Module):
    """The whole network; see the module's diagram."""

    def __init__(self, classes: int, repeats: tuple[int, int]) -> None:
        super().__init__()
        half, quarter, _ = WIDTHS
        self.encoder = Encoder(classes, repeats)
        self.level3_C = Conv(2 * quarter + 3, classes, 1)
        self.br = nn.BatchNorm2d(classes, eps=EPSILON)
        self.up_l3 = nn.Sequential(doubling(classes))
        self.combine_l2_l3 = nn.Sequential(Norm(2 * classes), Esp(2 * classes, classes, False))
        self.up_l2 = nn.Sequential(doubling(classes), Norm(classes))
        self.conv = ConvNorm(half + 3 + classes, classes, 3)
        self.classifier = doubling(classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """(n, 3, H, W), H and W multiples of 8, to class scores (n, classes, H, W)."""
        first, second, scores = self.encoder(pictures)
        coarse = self.up_l3(self.br(scores))
        middle = self.up_l2(self.combine_l2_l3(torch.cat([self.level3_C(second), coarse], 1)))
        result: Tensor = self.classifier(self.conv(torch.cat([middle, first], 1)))
        return result


def doubling(width: int) -> nn.Module:
    """A transposed convolution that doubles the size."""
    return nn.ConvTranspose2d(width, width, 2, stride=2, bias=False)


def build_espnet(state: Mapping[str, Tensor], classes: int) -> EspNet:
    """Build the network of a weight file; tensor names determine the number of repeated modules."""
    repeats = [
        len({name.split(".")[2] for name in state if name.startswith(f"encoder.level{level}.")})
        for level in (2, 3)
    ]
    return EspNet(classes, (repeats[0], repeats[1]))
