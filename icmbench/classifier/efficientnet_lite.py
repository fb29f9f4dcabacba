"""EfficientNet-Lite0, a network that classifies images: 4.65 million weights, 1000 classes.

EfficientNet-B0 (Tan and Le 2019, table 1) without squeeze-and-excitation and with ReLU6 for swish,
as the authors describe EfficientNet-Lite (tensorflow/tpu, models/official/efficientnet/lite).
Convolutions pad as TensorFlow's SAME. Layers are named as in the published file, whose tensors they
take::

    image -stem-> 1/2 -16-> 1/2 -24-> 1/4 -40-> 1/8 -80, 112-> 1/16 -192, 320-> 1/32
                             1/32 -head-> 1280 channels -mean-> features -fc-> logits
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from icmbench.classifier.lite0_weights import SHA256, lite0_file, lite0_lacks
from icmbench.core.errors import ModelError
from icmbench.core.files import check_weight_file
from icmbench.core.pickles import load_pickle

CLASSES: Final = 1000
FEATURES: Final = 1280  # channels before the classifier
STEM: Final = 32
EPSILON: Final = 1e-3  # of the normalisations
# Blocks of a stage: side of the kernel, stride of the first one, expansion, channels, number.
STAGES: Final = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
SHRINK: Final = 32  # pixels per cell of the last map


class SameConv(nn.Conv2d):
    """A convolution without bias, padded with zeros to ceil(side / stride) cells a side.

    Where the padding is odd, the last row or column has one more: TensorFlow's SAME.
    """

    def __init__(self, inputs: int, outputs: int, side: int, stride: int = 1, groups: int = 1):
        super().__init__(inputs, outputs, side, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, ceil(h / stride), ceil(w / stride))."""
        pads: list[int] = []
        for length in (x.shape[3], x.shape[2]):  # F.pad begins with the last axis
            cells = -(-length // self.stride[0])
            pad = max((cells - 1) * self.stride[0] + self.kernel_size[0] - length, 0)
            pads += [pad // 2, pad - pad // 2]
        return super().forward(F.pad(x, pads) if any(pads) else x)


class Block(nn.Module):
    """An inverted bottleneck (MBConv): expand, filter each channel, project.

    The input is added where the shape is kept. The projection has no activation.
    """

    def __init__(self, inputs: int, outputs: int, side: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        if expansion != 1:
            self._expand_conv = SameConv(inputs, wide, 1)
            self._bn0 = nn.BatchNorm2d(wide, eps=EPSILON)
        self._depthwise_conv = SameConv(wide, wide, side, stride, groups=wide)
        self._bn1 = nn.BatchNorm2d(wide, eps=EPSILON)
        self._project_conv = SameConv(wide, outputs, 1)
        self._bn2 = nn.BatchNorm2d(outputs, eps=EPSILON)
        self._expands = expansion != 1
        self._adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, ceil(h / stride), ceil(w / stride))."""
        inner = x
        if self._expands:
            inner = F.relu6(self._bn0(self._expand_conv(inner)))
        inner = F.relu6(self._bn1(self._depthwise_conv(inner)))
        inner = self._bn2(self._project_conv(inner))
        result: Tensor = x + inner if self._adds else inner
        return result


class EfficientNetLite0(nn.Module):
    """The network; its input is normalised: (value - 127) / 128 for the published weights."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv(3, STEM, 3, stride=2)
        self._bn0 = nn.BatchNorm2d(STEM, eps=EPSILON)
        self._blocks = nn.ModuleList()
        self._ends: list[int] = []  # blocks before the next halving, and the last one
        inputs = STEM
        for side, stride, expansion, outputs, count in STAGES:
            if stride == 2:
                self._ends.append(len(self._blocks) - 1)
            for number in range(count):
                step = stride if number == 0 else 1
                self._blocks.append(Block(inputs, outputs, side, step, expansion))
                inputs = outputs
        self._ends.append(len(self._blocks) - 1)
        self._conv_head = SameConv(inputs, FEATURES, 1)
        self._bn1 = nn.BatchNorm2d(FEATURES, eps=EPSILON)
        self._fc = nn.Linear(FEATURES, CLASSES)

    def stages(self, x: Tensor) -> list[Tensor]:
        """Maps of (n, 3, h, w) at 1/2, 1/4, 1/8, 1/16 and 1/32: 16, 24, 40, 112, 320 channels.

        Each is the last one of its resolution.
        """
        x = F.relu6(self._bn0(self._conv_stem(x)))
        found = []
        for number, block in enumerate(self._blocks):
            x = block(x)
            if number in self._ends:
                found.append(x)
        return found

    def features(self, x: Tensor) -> Tensor:
        """Means (n, 1280) of the last map of (n, 3, h, w) over all places."""
        x = F.relu6(self._bn1(self._conv_head(self.stages(x)[-1])))
        return x.mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, 1000) of (n, 3, h, w)."""
        return cast(Tensor, self._fc(self.features(x)))


def load_lite0(path: Path | None = None, sha256: str | None = None) -> EfficientNetLite0:
    """The network with weights, for inference: normalisations are folded into convolutions.

    Args:
        path: a file of weights; None: the installed package's, whose sha256 is checked.
        sha256: of `path`; None: any.

    Raises ModelError where the package or its model is not there, where the file is missing,
    damaged, another one, or of another network.
    """
    if path is None:
        if lacks := lite0_lacks():
            raise ModelError(lacks)
        path, sha256 = lite0_file(), SHA256
        assert path is not None
    check_weight_file(path, sha256)
    state = load_pickle(path, strict=True)
    # On the meta device nothing is initialised, and nothing is drawn from the global generator.
    with torch.device("meta"):
        network = EfficientNetLite0()
    _fill(network, state, path)
    return folded(network.eval().requires_grad_(False))


def _fill(network: nn.Module, state: Any, path: Path) -> None:
    """Give the network exactly the tensors of a file; ModelError where they are others."""
    if not isinstance(state, Mapping) or not all(map(torch.is_tensor, state.values())):
        raise ModelError(f"{path}: holds no state dictionary")
    try:
        network.load_state_dict(dict(state), strict=True, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{path}: not the tensors of EfficientNet-Lite0: {reason}") from error


def folded(network: EfficientNetLite0) -> EfficientNetLite0:
    """The same network with every normalisation folded into the convolution before it."""
    pairs = {"_conv_stem": "_bn0", "_expand_conv": "_bn0", "_depthwise_conv": "_bn1",
             "_project_conv": "_bn2", "_conv_head": "_bn1"}  # fmt: skip
    for module in list(network.modules()):
        for convolution, norm in pairs.items():
            if hasattr(module, convolution):
                both = getattr(module, convolution), getattr(module, norm)
                setattr(module, convolution, fuse_conv_bn_eval(*both))
                setattr(module, norm, nn.Identity())
    return network
