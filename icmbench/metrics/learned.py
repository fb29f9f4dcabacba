"""LPIPS and DISTS: the packages' networks, built without their downloads.

`lpips.LPIPS` and `piq.DISTS` fetch files when constructed. Here their parts are put together
from tensors that `icmbench.metrics.weights` has read and checked.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import lpips
import piq
import torch
import torchvision
from piq.perceptual import IMAGENET_MEAN, IMAGENET_STD, VGG16_LAYERS, ContentLoss

from icmbench.core.errors import MeasurementError
from icmbench.metrics import weights as files
from icmbench.metrics.picture import Picture

Score = Callable[[Picture, Picture], float]

# Channels of the compared maps: the image itself and the five VGG-16 stages.
_DISTS_CHANNELS = [3, 64, 128, 256, 512, 512]
_DISTS_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")


def _backbone(
    build: Callable[[], torch.nn.Module], file: files.WeightFile, weights: Path | None
) -> torch.nn.Module:
    """A torchvision classifier that holds exactly the tensors of `file`."""
    tensors = files.read(file, weights)
    # On the meta device nothing is initialised: no time, no draw from the global generator.
    with torch.device("meta"):
        network = build()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    files.check_shapes(tensors, shapes, str(files.find(file, weights)))
    as_float = {name: value.to(torch.float32) for name, value in tensors.items()}
    network.load_state_dict(as_float, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def load_lpips(weights: Path | None, device: str) -> Score:
    """LPIPS v0.1 with AlexNet (Zhang et al., CVPR 2018); the linear heads are in the package.

    Raises MeasurementError if the AlexNet file is missing, damaged or not AlexNet.
    """
    return _lpips("alex", _backbone(torchvision.models.alexnet, files.ALEXNET, weights), device)


def load_lpips_vgg(weights: Path | None, device: str) -> Score:
    """LPIPS v0.1 with VGG-16, as `load_lpips`."""
    return _lpips("vgg", _backbone(torchvision.models.vgg16, files.VGG16, weights), device)


def _lpips(net: str, backbone: torch.nn.Module, device: str) -> Score:
    # The constructor draws weights that are replaced below, and uses an old torchvision argument.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):
        network = lpips.LPIPS(
            net=net, version="0.1", pretrained=False, pnet_rand=True, verbose=False
        )
    heads = resources.files("lpips").joinpath("weights", "v0.1", f"{net}.pth").read_bytes()
    head_tensors = torch.load(io.BytesIO(heads), map_location="cpu", weights_only=True)
    state = network.state_dict()
    for name in state:
        if name.startswith("net.slice"):  # net.slice2.3.weight is features.3.weight
            state[name] = backbone.state_dict()["features." + name.split(".", 2)[2]]
        elif name.startswith("lin"):  # the package registers each head twice: lin0 and lins.0
            head = name if name in head_tensors else "lin" + name.removeprefix("lins.")
            state[name] = head_tensors[head]
    network.load_state_dict(state, strict=True)
    network.eval().requires_grad_(False).to(device)

    def score(original: Picture, reconstruction: Picture) -> float:
        scaled = (picture.tensor / 127.5 - 1 for picture in (original, reconstruction))
        return float(network(*scaled))

    return score


class _Dists(piq.DISTS):  # type: ignore[misc]  # piq has no types
    """piq's DISTS around tensors at hand; only its constructor, which downloads, is replaced."""

    def __init__(self, features: torch.nn.Module, weights: list[torch.Tensor]) -> None:
        ContentLoss.__init__(
            self,
            feature_extractor=features,
            layers=[VGG16_LAYERS[name] for name in _DISTS_LAYERS],
            weights=weights,
            replace_pooling=True,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            normalize_features=False,
            allow_layers_weights_mismatch=True,
        )


def load_dists(weights: Path | None, device: str) -> Score:
    """DISTS (Ding, Ma, Wang, Simoncelli, IEEE TPAMI 2020) with VGG-16.

    The weights alpha and beta are divided by their sum, as the paper's (7) demands, whether the
    file was already normalised or not. Raises MeasurementError if a file is missing, damaged or
    of other shapes.
    """
    tensors = files.read(files.DISTS, weights)
    where = str(files.find(files.DISTS, weights))
    shape = (1, sum(_DISTS_CHANNELS), 1, 1)
    files.check_shapes(tensors, {"alpha": shape, "beta": shape}, where)
    alpha, beta = tensors["alpha"].double(), tensors["beta"].double()
    total = float(alpha.sum() + beta.sum())
    if not total > 0:
        raise MeasurementError(f"{where}: its weights add up to {total}, not to a positive number")
    backbone = _backbone(torchvision.models.vgg16, files.VGG16, weights)
    parts = [
        part
        for both in (alpha / total, beta / total)
        for part in torch.split(both.float(), _DISTS_CHANNELS, dim=1)
    ]
    network = _Dists(backbone.get_submodule("features"), parts).eval().to(device)

    def score(original: Picture, reconstruction: Picture) -> float:
        return float(network(original.tensor / 255, reconstruction.tensor / 255))

    return score
