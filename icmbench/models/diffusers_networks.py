"""The classes of diffusers that the two codecs are built of.

For its pipelines, schedulers and compiled networks, none of which is used here, diffusers loads
transformers, torchvision, SciPy, torch's compiler and SymPy, and looks through the files of every
package that is installed: most of the seconds that importing its networks takes, in every job and
in every process of a codec.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch

from icmbench.core.imports import as_if_missing, without_module

SELDOM = ("transformers", "torchvision", "scipy", "torch._dynamo")
ATTENTION = "torch.nn.attention.flex_attention"  # one of its ways to compute attention, unused


def _disable(function: Callable[..., Any] | None = None, **_: Any) -> Callable[..., Any]:
    """`torch.compiler.disable` where nothing is compiled: the function itself."""
    return (lambda function: function) if function is None else function


@contextlib.contextmanager
def _networks_alone() -> Iterator[None]:
    with (
        as_if_missing(SELDOM),
        without_module(ATTENTION, "BlockMask", "create_block_mask"),
        mock.patch.object(importlib.metadata, "packages_distributions", dict),
        mock.patch.object(torch.compiler, "disable", _disable),
    ):
        yield


with _networks_alone():
    from diffusers import AutoencoderKL, UNet2DConditionModel, UNet2DModel
    from diffusers.models.embeddings import TimestepEmbedding, Timesteps
    from diffusers.models.transformers.transformer_2d import Transformer2DModel
    from diffusers.models.upsampling import Upsample2D

__all__ = [
    "AutoencoderKL",
    "TimestepEmbedding",
    "Timesteps",
    "Transformer2DModel",
    "UNet2DConditionModel",
    "UNet2DModel",
    "Upsample2D",
]
