"""Which device computes."""

from __future__ import annotations

import functools

from icmbench.errors import ConfigError


@functools.cache
def resolve_device(device: str) -> str:
    """`cpu` or `cuda`; `auto` takes the GPU where there is one.

    Raises ConfigError where cuda is asked for and there is none: never a silent fallback.
    """
    if device == "cpu":
        return device
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise ConfigError("device: cuda is asked for, but torch finds no CUDA device")
    return "cpu"
