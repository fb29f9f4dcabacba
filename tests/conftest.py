"""Fixtures that several test files share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


def make_picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture with edges, gradients and 1/f-like texture: not flat, not white noise."""
    rng = np.random.default_rng(seed)
    texture = sum(
        ndimage.gaussian_filter(rng.standard_normal((height, width, 3)), (s, s, 0)) * s
        for s in (0.7, 2, 6)
    )
    rows, columns = np.mgrid[:height, :width]
    base = 90 + 80 * columns[..., None] / max(width, 1) * np.array([1.0, 0.6, 0.2])
    disc = (rows - height / 2) ** 2 + (columns - width / 3) ** 2 < (min(height, width) / 4) ** 2
    base = base + disc[..., None] * np.array([60.0, -40.0, 30.0])
    return np.clip(base + 25 * texture, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    """One 96x80 picture."""
    return make_picture(96, 80)
