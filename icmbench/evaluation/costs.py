"""Costs of coding that a codec process measures on itself: seconds, joules, memory, operations.

Multiply-adds are those of convolutions, linear layers and attention that torch computes; what other
libraries compute is not among them. Parameters are the tensors of networks that take part.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from icmbench.codecs.base import Codec
from icmbench.codecs.specs import OperatingPoint
from icmbench.core import jit_notice as compiling
from icmbench.core.energy import EnergyMeter
from icmbench.core.memory import process_peak, programs_peak

T = TypeVar("T")
SIDE: Final = 256  # pixels of a side of the image on which operations are counted
MEASURED: Final = ("seconds", "joules", "energy", "peak_mb", "gpu_mb")
COUNTED: Final = ("kmac_per_pixel", "parameters")

_meter = functools.cache(EnergyMeter)


def measured(codec: Codec, work: Callable[[], T], images: int = 1) -> tuple[T, dict[str, Any]]:
    """The value of a call, and its costs by the names in `MEASURED`, None where unknown.

    Seconds and joules are per image; compiling is not in the seconds. Peaks are those of the
    process since its start, and of the largest program that it ran; on a GPU, of torch's
    allocations there.
    """
    meter = _meter(codec.device)
    meter.joules()
    start = clock()
    value = work()
    seconds = (clock() - start) / images
    joules = meter.joules()
    return value, {
        "seconds": seconds,
        "joules": None if joules is None else joules / images,
        "energy": meter.names,
        "peak_mb": max(process_peak(), programs_peak()) / 1e6,
        "gpu_mb": _gpu_peak() / 1e6 if codec.device == "cuda" else None,
    }


def clock() -> float:
    """Seconds of a clock that stands still while functions are compiled."""
    return time.perf_counter() - compiling.seconds()


def _gpu_peak() -> int:
    import torch

    return int(torch.cuda.max_memory_allocated())


def counted(codec: Codec, point: OperatingPoint, *, decode: bool) -> dict[str, Any]:
    """Operations of encoding (or decoding) an image of `SIDE` pixels a side: `COUNTED`.

    Empty where the codec computes nothing by torch. Errors are the codec's.
    """
    if "torch" not in sys.modules:
        return {}
    image = smooth_image(SIDE)

    def encode() -> bytes:
        return codec.encode(image, **dict(point.encode))

    if not decode:
        macs, parameters = _operations(encode)
    else:
        stream = codec.truncate(encode(), **dict(point.cut))
        macs, parameters = _operations(lambda: codec.decode(stream, **dict(point.decode)))
    if not macs:
        return {}
    return {"kmac_per_pixel": macs / SIDE**2 / 1e3, "parameters": parameters}


def _operations(run: Callable[[], object]) -> tuple[float, int]:
    """Multiply-adds of a call (half of its floating-point operations), parameters that it reads."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves
    from torch.utils.flop_counter import FlopCounterMode

    found: dict[int, int] = {}

    class Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            for leaf in tree_leaves((args, kwargs)):
                if isinstance(leaf, torch.nn.Parameter):
                    found[id(leaf)] = leaf.numel()
            return func(*args, **(kwargs or {}))

    reads = Reads()  # type: ignore[no-untyped-call]
    with reads, FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops()) / 2, sum(found.values())


def smooth_image(side: int) -> Any:
    """A smooth image, uint8 (side, side, 3)."""
    import numpy as np

    ramp = np.arange(side * side * 3, dtype=np.uint64).reshape(side, side, 3)
    return (ramp * 256 // ramp.size).astype(np.uint8)
