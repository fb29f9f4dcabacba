"""A GPU with too little memory, as an error in one sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from icmbench.core.errors import CodecError


@contextlib.contextmanager
def gpu_memory_for(work: str, remedy: str) -> Iterator[None]:
    """Raise CodecError naming `work`, the GPU's memory and the remedy where it is not enough."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        size = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory / 1e9
        text = f"{work}: the GPU has {size:.1f} GB, and more are needed; {remedy}"
        raise CodecError(text) from error
