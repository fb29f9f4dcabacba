"""Inception v3 of FID: torchvision's network with the pooling of the TensorFlow graph of 2015.

The network that FID is defined by (Heusel et al., NeurIPS 2017) differs from torchvision's in three
places: the average pools of the blocks A, C and of the first block E do not count the padding, and
the second block E has a max pool. Names of tensors are torchvision's, with 1008 classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.models import inception as blocks

from icmbench.core.errors import MeasurementError
from icmbench.metrics import weights as files

FEATURES: Final = 2048
_CLASSES: Final = 1008
_SIDE: Final = 299  # pixels of the network's input
_BATCH: Final = 16
_UNUSED: Final = ".num_batches_tracked"  # of batch normalisation, in training only


def _mean(x: torch.Tensor) -> torch.Tensor:
    """3x3 means of the values inside the map; torchvision's count the padding as zeros."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class _BlockA(blocks.InceptionA):  # type: ignore[misc]  # torchvision has no types
    def _forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [*super()._forward(x)[:-1], self.branch_pool(_mean(x))]


class _BlockC(blocks.InceptionC):  # type: ignore[misc]
    def _forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [*super()._forward(x)[:-1], self.branch_pool(_mean(x))]


class _BlockE(blocks.InceptionE):  # type: ignore[misc]
    def _forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [*super()._forward(x)[:-1], self.branch_pool(_mean(x))]


class _LastBlockE(blocks.InceptionE):  # type: ignore[misc]
    def _forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        pooled = F.max_pool2d(x, 3, stride=1, padding=1)
        return [*super()._forward(x)[:-1], self.branch_pool(pooled)]


class InceptionFID(blocks.Inception3):  # type: ignore[misc]
    """Inception v3 with the pooling of the TensorFlow graph; of 1008 classes, none auxiliary."""

    def __init__(self) -> None:
        super().__init__(
            num_classes=_CLASSES,
            aux_logits=False,
            inception_blocks=[
                blocks.BasicConv2d, _BlockA, blocks.InceptionB, _BlockC, blocks.InceptionD, _BlockE,
                blocks.InceptionAux,
            ],
            init_weights=False,
        )  # fmt: skip
        self.Mixed_7c = _LastBlockE(FEATURES)


def load_inception(weights: Path | None, device: str) -> torch.nn.Module:
    """The network with the published weights; its output is pool3, (n, 2048), not the classes.

    Raises MeasurementError if the file is missing, damaged or of another network.
    """
    tensors = files.read(files.INCEPTION, weights)
    with torch.device("meta"):  # nothing is initialised, nothing drawn from the global generator
        network: torch.nn.Module = InceptionFID()
    expected = network.state_dict()
    shapes = {n: tuple(v.shape) for n, v in expected.items() if not n.endswith(_UNUSED)}
    given = {n: v.to(torch.float32) for n, v in tensors.items() if not n.endswith(_UNUSED)}
    files.check_shapes(given, shapes, str(files.find(files.INCEPTION, weights)))
    counts = {n: torch.zeros((), dtype=torch.int64) for n in expected if n.endswith(_UNUSED)}
    network.load_state_dict({**given, **counts}, strict=True, assign=True)
    network.fc = torch.nn.Identity()
    return network.eval().requires_grad_(False).to(device)


def pool3(network: torch.nn.Module, patches: np.ndarray, device: str) -> np.ndarray:
    """Features of the layer pool3 of patches: float32 (n, 2048).

    Patches are resized bilinearly to 299 pixels a side, without aligned corners, and scaled to -1
    to 1.

    Args:
        network: of `load_inception`, on the device.
        patches: uint8 (n, height, width, 3).
    """
    if patches.dtype != np.uint8 or patches.ndim != 4 or patches.shape[3] != 3:
        raise MeasurementError(
            f"patches are uint8 (n, height, width, 3), not {patches.dtype} of {patches.shape}"
        )
    found = [np.zeros((0, FEATURES), np.float32)]
    with torch.inference_mode():
        for start in range(0, len(patches), _BATCH):
            x = torch.from_numpy(patches[start : start + _BATCH].copy()).to(device)
            x = x.permute(0, 3, 1, 2).to(torch.float32) / 255
            x = F.interpolate(x, size=(_SIDE, _SIDE), mode="bilinear", align_corners=False)
            found.append(network(2 * x - 1).cpu().numpy())
    return np.concatenate(found)
