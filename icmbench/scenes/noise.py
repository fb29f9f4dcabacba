"""Periodic noise tables and mip-mapped tiles, from which all textures are made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from icmbench.core.files import seed_from

#: float32 at run time; numpy's type stubs infer float64 for most operations.
Array = NDArray[Any]
SIZE = 512  # texels per side of every table and tile; a power of two


def rotation(axis: int, angle: float) -> Array:
    """Rotation matrix (3, 3) by `angle` radians about a coordinate axis."""
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix = np.eye(3)
    first, second = [(1, 2), (2, 0), (0, 1)][axis]
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix.astype(np.float32)


def linear(*srgb: float) -> Array:
    """Linear-light RGB (3,) of an sRGB colour in 0..1."""
    return np.asarray(srgb, np.float32) ** np.float32(2.2)


def smoothstep(low: float, high: float, x: Array) -> Array:
    """Hermite ramp from 0 at `low` to 1 at `high`."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


@lru_cache(maxsize=32)
def fractal(slot: int, beta: float = 1.0, stretch: float = 1.0, low: float = 0.0) -> Array:
    """Periodic noise (SIZE, SIZE), zero mean and unit deviation, amplitude falling as f^-beta.

    `stretch` > 1 makes it streaky along x; frequencies below `low` cycles per tile are removed.
    """
    rng = np.random.Generator(np.random.PCG64(seed_from("scene-noise", slot, beta, stretch, low)))
    spectrum = scipy.fft.rfft2(rng.standard_normal((SIZE, SIZE)))
    fy = scipy.fft.fftfreq(SIZE, 1 / SIZE)[:, None]
    fx = scipy.fft.rfftfreq(SIZE, 1 / SIZE)[None] * stretch
    frequency = np.hypot(fx, fy)
    frequency[0, 0] = np.inf
    gain = np.where(frequency >= low, frequency**-beta, 0.0)
    noise = scipy.fft.irfft2(spectrum * gain, s=(SIZE, SIZE))
    noise = (noise - noise.mean()) / noise.std()
    return np.asarray(np.clip(noise, -3.0, 3.0).astype(np.float32))


@lru_cache(maxsize=8)
def cells(slot: int, count: int) -> tuple[Array, NDArray[np.int32]]:
    """Periodic Voronoi cells of a jittered count x count grid.

    Returns:
        (edge, index): distance to the border between the nearest and second nearest seed (F2-F1)
        in units of a cell, and the number of the nearest seed, both (SIZE, SIZE).
    """
    rng = np.random.Generator(np.random.PCG64(seed_from("scene-cells", slot, count)))
    jitter = rng.uniform(0.1, 0.9, (count, count, 2)).astype(np.float32)
    grid = (np.arange(SIZE, dtype=np.float32) + 0.5) * (count / SIZE)
    y, x = np.meshgrid(grid, grid, indexing="ij")
    cell_y, cell_x = y.astype(np.int32), x.astype(np.int32)
    first = np.full((SIZE, SIZE), 9, np.float32)
    second, index = first.copy(), np.zeros((SIZE, SIZE), np.int32)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            row, column = (cell_y + dy) % count, (cell_x + dx) % count
            seed = jitter[row, column]
            distance = np.hypot(cell_x + dx + seed[..., 0] - x, cell_y + dy + seed[..., 1] - y)
            nearer = distance < first
            second = np.where(nearer, first, np.minimum(second, distance))
            first = np.where(nearer, distance, first)
            index = np.where(nearer, row * count + column, index)
    return second - first, index


def lookup(table: Array, x: Array, y: Array) -> Array:
    """Bilinear, periodic sample of a square power-of-two table at texel coordinates."""
    mask = table.shape[0] - 1
    left, top = np.floor(x), np.floor(y)
    fx, fy = x - left, y - top
    x0, y0 = left.astype(np.int32) & mask, top.astype(np.int32) & mask
    x1, y1 = (x0 + 1) & mask, (y0 + 1) & mask
    take, side = table.reshape(-1).take, np.int32(table.shape[0])
    row0, row1 = y0 * side, y1 * side
    upper, lower = take(row0 + x0), take(row1 + x0)
    upper += (take(row0 + x1) - upper) * fx
    lower += (take(row1 + x1) - lower) * fx
    upper += (lower - upper) * fy
    result: Array = upper
    return result


@dataclass(frozen=True)
class Tile:
    """A periodic RGB tile with its mip pyramid: `flat` holds all levels, finest first."""

    flat: Array  # (texels of all levels, 3)
    levels: int

    @classmethod
    def of(cls, rgb: Array) -> Tile:
        """Build the pyramid of a (SIZE, SIZE, 3) linear-light tile."""
        parts, level = [], np.clip(rgb, 0.0, 1.0).astype(np.float32)
        while level.shape[0] >= 4:
            parts.append(level.reshape(-1, 3))
            half = level[0::2] + level[1::2]
            level = (half[:, 0::2] + half[:, 1::2]) * np.float32(0.25)
        return cls(np.concatenate(parts), len(parts))

    def sample(self, u: Array, v: Array, footprint: Array) -> Array:
        """Colours (n, 3) at tile coordinates (period 1); `footprint`: sample spacing in tiles."""
        wanted = np.log2(np.maximum(footprint * SIZE, 1e-6))
        lod = np.clip(np.rint(wanted), 0, self.levels - 1).astype(np.int32)
        side = np.right_shift(SIZE, lod)
        # Texels before a level: sum of SIZE^2 / 4^k = (SIZE^2 - side^2) * 4/3.
        start = (SIZE * SIZE - side * side) // 3 * 4
        x, y = (u - np.floor(u)) * side - 0.5, (v - np.floor(v)) * side - 0.5
        left, top = np.floor(x), np.floor(y)
        fx, fy = (x - left)[:, None], (y - top)[:, None]
        mask = side - 1
        x0, y0 = left.astype(np.int32) & mask, top.astype(np.int32) & mask
        x1, y1 = (x0 + 1) & mask, (y0 + 1) & mask
        row0, row1 = start + y0 * side, start + y1 * side
        take = self.flat.take
        upper = take(row0 + x0, axis=0) * (1 - fx) + take(row0 + x1, axis=0) * fx
        lower = take(row1 + x0, axis=0) * (1 - fx) + take(row1 + x1, axis=0) * fx
        result: Array = upper * (1 - fy) + lower * fy
        return result.astype(np.float32, copy=False)
