"""Quantised latents as integer symbols and back, in float64 on the CPU."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.core.errors import CodecError

Symbols = NDArray[np.int32]


def as_symbols(values: torch.Tensor) -> Symbols:
    """Whole numbers as symbols; CodecError where a network gave no number."""
    if not torch.isfinite(values).all():
        raise CodecError("the codec's network gave a value that is not finite")
    return values.cpu().numpy().astype(np.int32)


def prior_symbols(values: torch.Tensor, medians: torch.Tensor) -> Symbols:
    """Symbols of a factorised prior: the values (n, C, h, w) counted from medians (C, 1, 1)."""
    return as_symbols((values.cpu().double() - medians.double()).round())


def prior_values(symbols: Symbols, medians: torch.Tensor) -> torch.Tensor:
    """The quantised values of symbols (n, C, h, w), float64."""
    return torch.from_numpy(symbols).double() + medians.double()


def channel_indexes(shape: tuple[int, ...]) -> Symbols:
    """Indices of the tables of a factorised prior, one per channel of (n, C, h, w)."""
    numbers = np.arange(shape[1], dtype=np.int32)[None, :, None, None]
    return np.ascontiguousarray(np.broadcast_to(numbers, shape))
