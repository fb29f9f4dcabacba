"""The two colours of a checkerboard: anchors, coded first, and the other positions."""

from __future__ import annotations

import torch
from torch import Tensor


def pack(values: Tensor, anchor: bool) -> Tensor:
    """Take one colour of the checkerboard: (n, c, h, w) to (n, c, h, w/2), each row left to right.

    Anchors are where row + column is odd. The width is even.
    """
    pairs = values.reshape(*values.shape[:-1], -1, 2)
    return torch.where(_second(values, anchor), pairs[..., 1], pairs[..., 0])


def unpack(packed: Tensor, anchor: bool) -> Tensor:
    """Undo `pack`, with zeros on the other colour."""
    second = _second(packed, anchor)
    zero = torch.zeros_like(packed)
    pairs = (torch.where(second, zero, packed), torch.where(second, packed, zero))
    return torch.stack(pairs, -1).flatten(-2)


def _second(values: Tensor, anchor: bool) -> Tensor:
    """Mark rows in which a colour has the second position of every pair: bool (h, 1)."""
    rows = torch.arange(values.shape[-2], device=values.device)
    return (rows % 2 == (0 if anchor else 1))[:, None]
