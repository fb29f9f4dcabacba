"""Integer latents for the tests, made by integer formulas: the same with every library version."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st


def noise(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Integers from -32768 to 32767: splitmix64 of a counter, int64 of the given shape."""
    size = int(np.prod(shape))
    with np.errstate(over="ignore"):
        value = np.arange(size, dtype=np.uint64) + np.uint64(seed * 0x1000003 + 1)
        value *= np.uint64(0x9E3779B97F4A7C15)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    value ^= value >> np.uint64(31)
    return ((value >> np.uint64(48)).astype(np.int64) - 32768).reshape(shape)


def box(values: np.ndarray, radius: int) -> np.ndarray:
    """Sum over squares of 2 radius + 1 cells, divided by their side: the deviation stays."""
    side = 2 * radius + 1
    for axis in (0, 1):
        total = np.cumsum(values, axis=axis)
        first = np.zeros_like(np.take(total, [0], axis=axis))
        total = np.concatenate([first, total], axis=axis)
        length = values.shape[axis] - side + 1
        high = np.take(total, np.arange(side, side + length), axis=axis)
        values = high - np.take(total, np.arange(length), axis=axis)
    return values // side


def photograph(height: int, width: int, seed: int, channels: int = 4) -> np.ndarray:
    """A latent with large shapes, textures and an edge: int16 (h, w, C), deviation about 8192."""
    total = np.zeros((height, width, channels), np.int64)
    for radius, share in ((0, 1), (1, 2), (3, 4), (9, 9)):
        size = (height + 2 * radius, width + 2 * radius, channels)
        total += share * box(noise(size, seed * 16 + radius), radius)
    rows, columns = np.mgrid[:height, :width]
    disc = (2 * rows - height) ** 2 + (3 * columns - width) ** 2 < (min(height, width)) ** 2
    total = (
        total // 24 + np.where(disc, 6000, -2000)[:, :, None] * np.array([1, -1, 1, 1])[:channels]
    )
    return np.clip(total, -32767, 32767).astype(np.int16)


def _make(style: str, shape: tuple[int, int], channels: int, seed: int) -> np.ndarray:
    full = (*shape, channels)
    values = noise(full, seed)
    if style == "flat":
        values = np.broadcast_to(values[:1, :1], full)
    elif style == "two":
        values = np.where(noise((*shape, 1), seed + 1) > 0, values[0, 0], values[-1, -1])
    elif style == "extreme":
        values = np.where(values > 0, 32767, -32767)
    elif style == "ties":
        values = values % 3 * 8
    elif style == "simplex":  # points at equal distances: all heights of the merges tie
        which = noise(shape, seed) % (channels + 1)
        values = 8 * (1 + seed % 400) * (which[:, :, None] == np.arange(channels))
    elif style == "near":
        values = values % 40
    elif style == "photograph":
        return photograph(*shape, seed, channels)
    return np.clip(values, -32767, 32767).astype(np.int16)


STYLES = ("flat", "two", "extreme", "ties", "simplex", "near", "noise", "photograph")


@st.composite
def latents(draw: st.DrawFn, most: int = 24) -> np.ndarray:
    """Latents of all kinds, int16 (h, w, C); 1x1, rows and columns are among them."""
    side = st.one_of(st.just(1), st.integers(1, most))
    shape = draw(st.tuples(side, side))
    channels = draw(st.integers(1, 4))
    return _make(draw(st.sampled_from(STYLES)), shape, channels, draw(st.integers(0, 9999)))
