"""The patches of FID and KID: two grids of 256 x 256 pixels (HiFiC: Mentzer et al., NeurIPS 2020).

The first grid starts at the origin, the second at (128, 128) with one patch less in either
direction. Patches do not overlap within a grid; what is left over at the right and the bottom is
not used.
"""

from __future__ import annotations

from typing import Final

import numpy as np

SIDE: Final = 256


def corners(height: int, width: int) -> list[tuple[int, int]]:
    """Row and column of the first pixel of every patch of an image, the first grid first."""
    down, across = height // SIDE, width // SIDE
    first = [(SIDE * row, SIDE * column) for row in range(down) for column in range(across)]
    second = [
        (SIDE * row + SIDE // 2, SIDE * column + SIDE // 2)
        for row in range(down - 1)
        for column in range(across - 1)
    ]
    return first + second


def patches(image: np.ndarray) -> np.ndarray:
    """Cut an image (height, width, 3) into its n patches: (n, 256, 256, 3), n may be 0."""
    found = [image[y : y + SIDE, x : x + SIDE] for y, x in corners(*image.shape[:2])]
    return np.stack(found) if found else np.zeros((0, SIDE, SIDE, 3), image.dtype)
