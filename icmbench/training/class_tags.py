"""Tags of training images by a published classifier: groups of the classes of ImageNet.

A vocabulary of 1000 classes is too fine for a training set of hundreds of images, so the classes
are brought into a few groups by a rule: Ward's clustering of the classifier's own weight vectors,
which are close where classes look alike. A group has the name of the class that is closest to its
mean. An image has the tag of every group whose classes together have a probability of `LIKELY`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PillowImage
from scipy.cluster.hierarchy import fcluster, linkage

from icmbench.classifier.efficientnet_lite import SHRINK, EfficientNetLite0, load_lite0
from icmbench.core.errors import ModelError

GROUPS: Final = 24
LIKELY: Final = 0.25  # at most four tags an image
SIDE: Final = 256  # pixels of the shorter side of a classified image

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class ClassGroups:
    """Groups of classes.

    Attributes:
        names: of the groups, sorted.
        groups: number of the group of every class, int64 (classes,).
    """

    names: tuple[str, ...]
    groups: NDArray[np.int64]


def class_groups(
    weights: NDArray[np.float32], names: tuple[str, ...], count: int = GROUPS
) -> ClassGroups:
    """Group classes by the weight vectors (classes, D) of a linear classifier."""
    found = weights - weights.mean(0)
    found = found / np.linalg.norm(found, axis=1, keepdims=True)
    labels = fcluster(linkage(found, "ward"), count, "maxclust")
    named = {}
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        distances = np.linalg.norm(found[own] - found[own].mean(0), axis=1)
        named[int(label)] = names[own[np.argmin(distances)]]
    order = sorted(named, key=lambda label: named[label])
    numbers = {label: number for number, label in enumerate(order)}
    groups = np.array([numbers[int(label)] for label in labels], np.int64)
    return ClassGroups(tuple(named[label] for label in order), groups)


class ClassTagger:
    """Tags of images by EfficientNet-Lite0."""

    def __init__(self, device: str = "cpu", network: EfficientNetLite0 | None = None) -> None:
        """`network`: None: with the weights of the installed package, or ModelError."""
        self._device = device
        self._network = (network or load_lite0()).to(device)
        weights = self._network._fc.weight.detach().cpu().numpy()
        self.groups = class_groups(weights, class_names())

    def __call__(self, image: Image) -> tuple[str, ...]:
        """Names of the tags of an image uint8 (H, W, 3), sorted."""
        with torch.inference_mode():
            logits = self._network(classified(image).to(self._device))[0].double().cpu()
        chances = np.bincount(
            self.groups.groups, torch.softmax(logits, 0).numpy(), len(self.groups.names)
        )
        return tuple(self.groups.names[number] for number in np.flatnonzero(chances >= LIKELY))


def classified(image: Image) -> torch.Tensor:
    """An image as the network takes it: its shorter side `SIDE` pixels, the middle of it."""
    height, width = image.shape[:2]
    scale = SIDE / min(height, width)
    size = round(width * scale), round(height * scale)
    shown = np.asarray(
        PillowImage.fromarray(image).resize(size, PillowImage.Resampling.BILINEAR), np.float32
    )
    rows, columns = (length // SHRINK * SHRINK for length in shown.shape[:2])
    top, left = (shown.shape[0] - rows) // 2, (shown.shape[1] - columns) // 2
    middle = shown[top : top + rows, left : left + columns].transpose(2, 0, 1)[None]
    return torch.from_numpy((middle - 127) / np.float32(128))


def class_names() -> tuple[str, ...]:
    """Names of ImageNet's 1000 classes in the usual order, of the package torchvision."""
    try:
        from torchvision.models import EfficientNet_B0_Weights
    except ImportError as error:
        raise ModelError("class tags need the package torchvision") from error
    return tuple(EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"])
