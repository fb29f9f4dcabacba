"""Devices: which one computes, its settings, and how memory is kept."""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import re
import sys
from pathlib import Path
from typing import Final

from icmbench.core.errors import ConfigError

log = logging.getLogger(__name__)

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h
_DRIVER: Final = Path("/proc/driver/nvidia/version")
# Variables by which a scheduler, or a user, gives a process its GPUs.
_GIVEN: Final = ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS", "SLURM_STEP_GPUS")
_NONE: Final = frozenset({"", "-1", "NoDevFiles"})
UNUSED: Final = "GPU NOT USED"  # how the warning begins


@functools.cache
def resolve_device(device: str) -> str:
    """`cpu` or `cuda`; `auto` takes the GPU where there is one.

    With `auto`, a GPU that this process was given but torch cannot use is a warning in the log.
    Raises ConfigError where cuda is asked for and there is none: never a silent fallback.
    """
    if device == "cpu":
        return device
    import torch

    if torch.cuda.is_available():
        return "cuda"
    reason = unused_gpu()
    if device == "cuda":
        why = f" ({reason})" if reason else ""
        raise ConfigError(f"device: cuda is asked for, but torch finds no CUDA device{why}")
    if reason:
        log.warning("%s, networks run on the CPU: %s", UNUSED, reason)
    return "cpu"


def use_device(device: str) -> str:
    """Resolve a device and prepare this process to run networks on it; `cpu` or `cuda`.

    On a GPU the same input gives the same result whatever else runs: float32 without TF32,
    deterministic cuDNN and cuBLAS algorithms, none chosen by trial. Called by every job that runs
    networks, before the first one runs. Raises ConfigError as `resolve_device` does.
    """
    device = resolve_device(device)
    if device == "cuda":
        import torch

        # Read when cuBLAS is first used; without it, its results may vary from run to run.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
    return device


def unused_gpu() -> str:
    """The reason why torch cannot use the GPU that this process was given; '' if it was given none.

    A GPU was given where its driver is loaded and no variable hides it, or where a variable of
    CUDA or Slurm names it.
    """
    import torch

    if torch.cuda.is_available():
        return ""
    given = {name: os.environ[name] for name in _GIVEN if name in os.environ}
    named = [f"{name}={value}" for name, value in given.items() if value not in _NONE]
    hidden = given.get("CUDA_VISIBLE_DEVICES", "0") in _NONE
    if hidden or not (named or has_nvidia()):
        return ""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA; install a build with it"
    version = driver_version()
    held = ", ".join(named) or "/dev/nvidiactl"
    if not version:
        return f"{held}, but no NVIDIA driver is loaded"
    return (
        f"NVIDIA driver {version} and torch {torch.__version__}, built for CUDA "
        f"{torch.version.cuda}, do not work together ({held}); update the driver, or install a "
        "torch built for an older CUDA"
    )


def driver_version() -> str:
    """Version of the loaded NVIDIA driver; '' where none is."""
    try:
        text = _DRIVER.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)", text)
    return found.group(1) if found else "of unknown version"


def has_nvidia() -> bool:
    """True if the driver of a GPU is installed; without torch, which takes seconds to load."""
    return Path("/dev/nvidiactl").exists()


def limit_threads(threads: int) -> None:
    """Let torch, where it is loaded, and every loaded BLAS and OpenMP library use so many threads.

    Libraries that are loaded later follow the environment (`icmbench.evaluation.codec_process`).
    """
    import threadpoolctl

    threadpoolctl.threadpool_limits(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


@functools.cache
def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next allocation, until this process ends.

    A network frees and allocates blocks of tens of megabytes all the time. glibc returns each to
    the kernel, which clears its pages anew: a fifth of the time. Elsewhere this does nothing.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
