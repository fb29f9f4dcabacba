"""Energy counters of the machine: RAPL of the processors, NVML of the GPU in use.

They count everything that runs there: the energy of one job is that of the whole processor package
(without memory) and of the whole GPU while the job ran.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

POWERCAP: Final = Path("/sys/class/powercap")
Counter = Callable[[], float]  # joules since the last call


class EnergyMeter:
    """The counters that can be read; `names` is RAPL, NVML, both joined by +, or empty."""

    def __init__(self, device: str, powercap: Path = POWERCAP) -> None:
        rapl = [counter for folder in _packages(powercap) if (counter := _rapl(folder))]
        nvml = [counter] if device == "cuda" and (counter := _nvml()) else []
        self._counters: list[Counter] = rapl + nvml
        self.names = "+".join(["RAPL"] * bool(rapl) + ["NVML"] * bool(nvml))

    def joules(self) -> float | None:
        """Joules since the last call; None where no counter can be read."""
        parts = [counter() for counter in self._counters]
        return sum(parts) if parts else None


def _packages(powercap: Path) -> list[Path]:
    """Folders of the processor packages, without their parts and without whole platforms."""
    folders = sorted(f for f in powercap.glob("intel-rapl:*") if f.name.count(":") == 1)
    found = []
    for folder in folders:
        with contextlib.suppress(OSError):
            if (folder / "name").read_text(encoding="utf-8").startswith("package"):
                found.append(folder)
    return found


def _rapl(folder: Path) -> Counter | None:
    """The counter of a package; None where it may not be read (many kernels: root alone)."""

    def microjoules(name: str) -> int:
        return int((folder / name).read_text(encoding="utf-8"))

    try:
        last, limit = microjoules("energy_uj"), microjoules("max_energy_range_uj")
    except (OSError, ValueError):
        return None

    def count() -> float:
        nonlocal last
        before, last = last, microjoules("energy_uj")
        return (last - before) % (limit + 1) / 1e6  # it starts again at its limit

    return count


def _nvml() -> Counter | None:
    """The counter of the current GPU; None without the package nvidia-ml-py or its driver."""
    try:
        import pynvml
        import torch

        pynvml.nvmlInit()
        uuid = torch.cuda.get_device_properties(torch.cuda.current_device()).uuid
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        last = int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
    except ImportError:
        return None
    except pynvml.NVMLError:
        return None

    def count() -> float:
        nonlocal last
        before, last = last, int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        return (last - before) / 1e3

    return count
