"""Networks that classify images: EfficientNet-Lite0, and those of torchvision and timm.

Weights are local files, read strictly. Features are what the last linear layer gets.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from icmbench.core.errors import TaskError
from icmbench.core.files import sha256_file
from icmbench.tasks.backends.classifier_input import PILLOW, TENSORFLOW, ClassifierInput
from icmbench.tasks.backends.openmm_weights import fill, read_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

LITE0: Final = "efficientnet-lite0"
LIBRARIES: Final = ("torchvision", "timm")
IMAGENET: Final = 1000  # classes
# Evaluation by the authors: tensorflow/tpu, models/official/efficientnet: preprocessing.py (crop),
# main.py (bilinear for Lite), lite/efficientnet_lite_builder.py (mean, std, size).
LITE0_INPUT: Final = ClassifierInput(224, 0.875, TENSORFLOW, (127.0,) * 3, (128.0,) * 3)


class Classifier:
    """A network on a device.

    Attributes:
        published: the input that its authors evaluated it with; None: unknown.
    """

    def __init__(self, network: nn.Module, last: nn.Module, published: ClassifierInput | None):
        """`last` is the layer of `network` whose input are the features."""
        self._network = network
        self._features: Tensor | None = None
        self.published = published
        last.register_forward_pre_hook(self._keep)

    def _keep(self, _: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        self._features = arguments[0]

    def to(self, device: str) -> None:
        """Move the network to cpu or cuda; the layout of its tensors takes half the time there."""
        import torch

        network = self._network.to(device)
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, classes) and features (n, D) of normalised planes (n, 3, size, size)."""
        import torch

        with torch.inference_mode():
            layout = planes.contiguous(memory_format=torch.channels_last)
            logits = self._network(layout)
        assert self._features is not None
        return logits, self._features.flatten(1)


def load_classifier(
    network: str, weights: Path | None, sha256: str | None, classes: int
) -> Classifier:
    """The network of this name, for inference.

    Args:
        network: `efficientnet-lite0`, `torchvision/<name>` or `timm/<name>`.
        weights: file of its weights; None: those of the installed package, of Lite0 alone.
        sha256: of the file; None: any.
        classes: number of them.

    Raises ModelError where a file is missing, damaged or of another network, TaskError for an
    unknown network and without the library that has it.
    """
    if network == LITE0:
        from icmbench.classifier.efficientnet_lite import load_lite0

        if classes != IMAGENET:
            raise TaskError(f"{LITE0} has {IMAGENET} classes, `classes` lists {classes}")
        lite = load_lite0(weights, sha256)
        return Classifier(lite, lite._fc, LITE0_INPUT)
    library, _, name = network.partition("/")
    assert weights is not None
    build = _torchvision if library == "torchvision" else _timm
    return build(name, weights, sha256, classes)


def _torchvision(name: str, weights: Path, sha256: str | None, classes: int) -> Classifier:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise TaskError(f"torchvision has no network {name!r} that classifies images")
    network = models.get_model(name, weights=None, num_classes=classes)
    _read(network, weights, sha256)
    return Classifier(network, _last_linear(network, name), _of_torchvision(name, weights))


def _of_torchvision(name: str, weights: Path) -> ClassifierInput | None:
    """Input of the published weights that a file is: their address ends with its digest."""
    from torchvision import models

    digest = sha256_file(weights)
    for published in models.get_model_weights(name):
        stated = published.url.rpartition("-")[2].partition(".")[0]
        if len(stated) == 8 and digest.startswith(stated):
            about = published.transforms()
            return ClassifierInput(
                about.crop_size[0],
                about.crop_size[0] / about.resize_size[0],
                f"pillow-{about.interpolation.value}",
                *(tuple(255 * value for value in values) for values in (about.mean, about.std)),
            )
    return None


def _timm(name: str, weights: Path, sha256: str | None, classes: int) -> Classifier:
    try:
        import timm
    except ImportError as error:
        raise TaskError(
            f"network timm/{name} needs the package timm, which is not installed: `pip install "
            "timm`"
        ) from error
    if not timm.is_model(name):
        raise TaskError(f"timm has no network {name!r}")
    network = timm.create_model(name, pretrained=False, num_classes=classes)
    _read(network, weights, sha256)
    about = timm.data.resolve_model_data_config(network)
    resample = f"pillow-{about['interpolation']}"
    published = ClassifierInput(
        about["input_size"][-1],
        about["crop_pct"],
        resample,
        *(tuple(255 * value for value in about[key]) for key in ("mean", "std")),
    )
    return Classifier(
        network, _last_linear(network, name), published if resample in PILLOW else None
    )


def _read(network: nn.Module, weights: Path, sha256: str | None) -> None:
    """Give a network the tensors of a file; ModelError as `fill`."""
    fill(network, read_weights(weights, sha256).state, weights)
    network.eval().requires_grad_(False)


def _last_linear(network: nn.Module, name: str) -> nn.Module:
    from torch import nn as layers

    found = [part for part in network.modules() if isinstance(part, layers.Linear)]
    if not found:
        raise TaskError(f"{name} has no linear layer at its end: its features are not known")
    return found[-1]


def imagenet_names() -> tuple[str, ...]:
    """Names of ImageNet's 1000 classes in the usual order, as torchvision lists them."""
    from torchvision import models

    weights: Any = models.get_model_weights("resnet18")
    names: Sequence[str] = weights.DEFAULT.meta["categories"]
    return tuple(names)
