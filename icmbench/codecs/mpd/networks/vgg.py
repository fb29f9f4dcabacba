"""VGG-16 and narrower networks of its layout: five stages, with taps before every pooling.

The layout is configuration D of Simonyan and Zisserman 2015 (table 1), with tensors named as in
torchvision's `vgg16().features`. A narrow network differs from the published one in its numbers of
channels only.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from icmbench.codecs.mpd.model_folder import TAPS
from icmbench.core.errors import ImageError, ModelError
from icmbench.core.pickles import load_pickle
from icmbench.models.settings import NetworkSettings
from icmbench.models.tensors import load_built, with_weights

STRIDES: Final = (1, 2, 4, 8, 16)
CONVOLUTIONS: Final = (2, 2, 3, 3, 3)  # of the five stages

# Mean and standard deviation of ImageNet in [0, 1], by which published weights normalise their
# input. Narrow networks are trained with the same normalisation.
MEAN: Final = (0.485, 0.456, 0.406)
STD: Final = (0.229, 0.224, 0.225)

# Tensors of a published file besides the five stages: the classifier of ImageNet.
CLASSIFIER: Final = {
    "classifier.0.weight": (4096, 25088),
    "classifier.0.bias": (4096,),
    "classifier.3.weight": (4096, 4096),
    "classifier.3.bias": (4096,),
    "classifier.6.weight": (1000, 4096),
    "classifier.6.bias": (1000,),
}


@dataclass(frozen=True)
class VggSettings(NetworkSettings):
    """Size of the network.

    Attributes:
        channels: of the five stages, at 1, 1/2, 1/4, 1/8 and 1/16 of the image.

    Raises ValueError for other than five positive whole numbers.
    """

    channels: tuple[int, ...] = (16, 32, 48, 64, 64)

    def __post_init__(self) -> None:
        if len(self.channels) != len(TAPS) or min(self.channels) < 1:
            raise ValueError(f"channels {self.channels}: five positive whole numbers are needed")


PUBLISHED: Final = VggSettings((64, 128, 256, 512, 512))


def build_vgg(settings: VggSettings, seed: int) -> torch.nn.Module:
    """An untrained network whose weights depend on the seed alone.

    Convolutions are initialised after He et al. 2015 (section 2.2): without normalisation layers,
    thirteen of them would otherwise let the signal fade.
    """
    layers: list[torch.nn.Module] = []
    before = 3
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for channels, convolutions in zip(settings.channels, CONVOLUTIONS, strict=True):
            for _ in range(convolutions):
                layer = torch.nn.Conv2d(before, channels, 3, padding=1)
                torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                layer.bias = torch.nn.Parameter(torch.zeros(channels))
                layers += [layer, torch.nn.ReLU()]
                before = channels
            layers.append(torch.nn.MaxPool2d(2))
    return torch.nn.Sequential(OrderedDict(features=torch.nn.Sequential(*layers)))


def taps(network: torch.nn.Module, pixels: torch.Tensor) -> list[torch.Tensor]:
    """Outputs of the convolutions `TAPS` after their ReLU: five tensors (n, C, H // s, W // s).

    Args:
        network: of `build_vgg` or `load_vgg`.
        pixels: float32 (n, 3, H, W), RGB in [-1, 1].

    Raises ImageError where a side is below 16 pixels, the stride of the last tap.
    """
    if min(pixels.shape[2:]) < STRIDES[-1]:
        height, width = pixels.shape[2:]
        raise ImageError(f"{height} x {width} pixels: the last tap needs {STRIDES[-1]} a side")
    values = normalise(pixels)
    found: list[torch.Tensor] = []
    for layer in network.get_submodule("features").children():
        if isinstance(layer, torch.nn.MaxPool2d):
            found.append(values)
            if len(found) == len(TAPS):
                break
        values = layer(values)
    return found


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """Input of the first convolution for pixels (n, 3, H, W) in [-1, 1]."""
    mean, std = (pixels.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    return ((pixels + 1) / 2 - mean) / std


def load_vgg(path: Path) -> torch.nn.Module:
    """The network of a file, in evaluation mode and without gradients.

    Args:
        path: `.safetensors` of `save_network`, with the settings as `network` in its metadata, or
            `.pth`: the published VGG-16 as torchvision keeps it, whose classifier is left out.

    Raises ModelError naming the file and what is missing, wrong or too much in it.
    """
    if path.suffix == ".safetensors":
        return load_built(path, VggSettings, build_vgg)[0]
    if path.suffix != ".pth":
        raise ModelError(f"{path}: neither .safetensors nor .pth: unknown format")
    state = _published(path)
    with torch.device("meta"):
        network = build_vgg(PUBLISHED, seed=0)
    return with_weights(network, state, path).eval().requires_grad_(False)


def _published(path: Path) -> dict[str, torch.Tensor]:
    """The state dictionary of a published file without exactly the tensors of `CLASSIFIER`."""
    found = load_pickle(path)
    if not isinstance(found, Mapping):
        raise ModelError(f"{path}: it holds a {type(found).__name__}, not named tensors")
    state: dict[str, torch.Tensor] = {}
    for name, tensor in found.items():
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            raise ModelError(f"{path}: {name!r} is not a tensor of floating-point numbers")
        state[str(name)] = tensor
    for name, shape in CLASSIFIER.items():
        if name not in state:
            raise ModelError(f"{path}: tensor {name!r} is missing")
        if (shown := tuple(state.pop(name).shape)) != shape:
            raise ModelError(f"{path}: tensor {name!r} has the shape {shown}, expected {shape}")
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{path}: tensor {name!r} holds a value that is not finite")
    return {name: tensor.float() for name, tensor in state.items()}
