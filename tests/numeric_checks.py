"""Comparisons of tensors."""

from __future__ import annotations

from torch import Tensor


def near(found: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    """Differences are measured against the largest value of the whole tensor."""
    assert found.shape == expected.shape
    difference = (found.double() - expected.double()).abs().max()
    assert float(difference) <= tolerance * float(expected.abs().max())
