"""Names of the hardware that computes."""

from __future__ import annotations

import platform
from pathlib import Path


def processor() -> str:
    """The model of the processor, as the system names it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def gpus() -> list[str]:
    """The names of the GPUs that torch finds, in its order."""
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
