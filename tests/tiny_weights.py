"""Weights of image metrics and descriptors in their published formats, with random values."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.io
import torch
import torchvision
from test_distances import random_inception
from test_learned_metrics import random_state

Files = dict[str, bytes]


def pickled(content: Any) -> bytes:
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()


def halved(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors in half the bytes; expanded ones, of the classes, are small already."""
    return {
        name: tensor if tensor.numel() > tensor.untyped_storage().size() else tensor.half()
        for name, tensor in state.items()
    }


def vgg16() -> dict[str, Files]:
    """torchvision's VGG-16: all tensors of their size, the classifier's values equal."""
    state = halved(random_state(torchvision.models.vgg16, 3))
    return {"vgg16": {"vgg16.pth": pickled(state)}}


def metrics() -> dict[str, Files]:
    """AlexNet, VGG-16, DISTS, NIQE's pristine model, and the Inception of FID."""
    generator = torch.Generator().manual_seed(4)
    parts = {name: torch.rand((1, 1475, 1, 1), generator=generator) for name in ("alpha", "beta")}
    pristine = io.BytesIO()
    model = {"mu_prisparam": np.zeros((1, 36)), "cov_prisparam": np.eye(36)}
    scipy.io.savemat(pristine, model)
    return {
        **vgg16(),
        "alexnet": {"alexnet.pth": pickled(halved(random_state(torchvision.models.alexnet, 2)))},
        "dists": {"dists.pt": pickled(parts)},
        "niqe": {"niqe.mat": pristine.getvalue()},
        "inception-fid": {"inception.pth": pickled(halved(random_inception(5)))},
    }
