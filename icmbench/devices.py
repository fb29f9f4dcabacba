"""Which device computes, and how its memory is kept."""

from __future__ import annotations

import ctypes
import functools
import sys
from pathlib import Path

from icmbench.errors import ConfigError

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


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


def has_nvidia() -> bool:
    """Whether the driver of a GPU is there; asked without torch, which takes seconds to load."""
    return Path("/dev/nvidiactl").exists()


@functools.cache
def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next allocation, until this process ends.

    A network frees and asks for blocks of tens of megabytes all the time. glibc gives each back to
    the kernel, which clears its pages anew: a fifth of the time. Elsewhere this does nothing.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
