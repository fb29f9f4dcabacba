"""Textures of the stuff classes: periodic linear-light tiles with their relief baked in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from icmbench.scenes.noise import (
    SIZE,
    Array,
    cells,
    fractal,
    linear,
    smoothstep,
)  # fmt: skip

_ROW, _COLUMN = np.meshgrid(
    np.arange(SIZE, dtype=np.float32), np.arange(SIZE, dtype=np.float32), indexing="ij"
)


def _shift(table: Array, rng: Generator) -> Array:
    dy, dx = rng.integers(0, SIZE, 2)
    return np.roll(table, (int(dy), int(dx)), (0, 1))


def _noise(rng: Generator, beta: float, stretch: float = 1.0, low: float = 0.0) -> Array:
    return _shift(fractal(int(rng.integers(3)), beta, stretch, low), rng)


def _relief(height: Array, strength: float) -> Array:
    """Shading factor of a height field lit from the upper left, around 1."""
    slope = (height - np.roll(height, 1, 1)) * 0.6 + (height - np.roll(height, 1, 0)) * 0.8
    return np.clip(1 + strength * slope, 0.25, 1.9)


def _tint(colour: Array, value: Array) -> Array:
    return colour * value[..., None]


def brick(rng: Generator) -> Array:
    """Running bond of rough bricks with mortar."""
    rows, columns = int(rng.choice([12, 14, 16])), int(rng.choice([5, 6]))
    y = _ROW * (rows / SIZE)
    course = np.floor(y).astype(int)
    wobble = _noise(rng, 1.5) * 0.02
    x = (_COLUMN * (columns / SIZE) + 0.5 * (course % 2) + wobble) % columns
    index = course * columns + np.floor(x).astype(int)
    edge_x, edge_y = np.abs(x % 1 - 0.5), np.abs((y + wobble) % 1 - 0.5)
    inside = smoothstep(0.5, 0.44, edge_y) * smoothstep(0.5, 0.478, edge_x)
    base = [linear(0.62, 0.3, 0.22), linear(0.72, 0.62, 0.5), linear(0.55, 0.4, 0.36),
            linear(0.8, 0.77, 0.73)][rng.integers(4)]  # fmt: skip
    shade = rng.uniform(0.55, 1.35, rows * columns)[index] * (1 + 0.22 * _noise(rng, 0.7))
    hue = rng.normal(1, 0.045, (rows * columns, 3))[index]
    mortar = linear(0.66, 0.64, 0.6) * rng.uniform(0.55, 1.1)
    grain = 1 + 0.2 * _noise(rng, 0.4)
    colour = _tint(base, shade) * hue * inside[..., None] + _tint(mortar, grain * (1 - inside))
    rough = _noise(rng, 0.9)
    return np.asarray(colour * _relief(inside + 0.12 * rough, 0.9)[..., None])


def plaster(rng: Generator) -> Array:
    """Trowelled, stained paint."""
    base = np.asarray(rng.uniform(0.4, 0.85, 3), np.float32) ** 2.2 * 0.5 + rng.uniform(0.1, 0.3)
    stains = 1 + 0.16 * _noise(rng, 1.3) + 0.08 * _noise(rng, 0.5)
    return _tint(base.astype(np.float32), stains) * _relief(_noise(rng, 1.0), 0.5)[..., None]


def wallpaper(rng: Generator) -> Array:
    """Printed stripes or a lattice of rosettes."""
    hue = rng.uniform(0.25, 0.85, 3)
    first = linear(*hue)
    second = linear(*np.clip(hue * rng.uniform(0.55, 1.4, 3), 0, 0.95))
    count = int(rng.choice([8, 12, 16]))
    x, y = _COLUMN * (count / SIZE), _ROW * (count / SIZE)
    if rng.random() < 0.4:
        pattern = (np.abs(x % 1 - 0.5) < 0.25).astype(np.float32)
        pattern *= 0.7 + 0.3 * (np.abs(x % 1 - 0.5) < 0.2)
    else:
        x = x + 0.5 * (np.floor(y) % 2)
        dx, dy = x % 1 - 0.5, y % 1 - 0.5
        angle = np.arctan2(dy, dx) * int(rng.choice([4, 5, 6]))
        pattern = smoothstep(0.03, -0.03, np.hypot(dx, dy) - 0.28 - 0.13 * np.cos(angle))
        pattern = pattern - 0.7 * smoothstep(0.03, -0.03, np.hypot(dx, dy) - 0.1)
    paper = first * (1 - pattern[..., None]) + second * pattern[..., None]
    return np.asarray(paper * (1 + 0.1 * _noise(rng, 0.8) + 0.05 * _noise(rng, 0.2))[..., None])


def slabs(rng: Generator) -> Array:
    """Square paving slabs of worn stone."""
    count = int(rng.choice([2, 3, 4]))
    wobble = _noise(rng, 1.4) * 0.008
    x, y = (_COLUMN * (count / SIZE) + wobble) % count, (_ROW * (count / SIZE) + wobble) % count
    # In float32 x and y can be `count` itself: -1e-9 % 4 is 4.
    index = (np.floor(y).astype(int) * count + np.floor(x).astype(int)) % count**2
    edge = np.minimum(0.5 - np.abs(x % 1 - 0.5), 0.5 - np.abs(y % 1 - 0.5))
    inside = smoothstep(0.008, 0.022, edge)
    base = linear(*(rng.uniform(0.5, 0.68) + rng.uniform(-0.05, 0.05, 3)))
    shade = rng.uniform(0.7, 1.25, count * count)[index]
    speckle = 1 + 0.16 * _noise(rng, 1.1) + 0.2 * _noise(rng, 0.3)
    colour = _tint(base, shade * speckle * (0.25 + 0.75 * inside))
    return colour * _relief(inside * 0.6 + 0.12 * _noise(rng, 0.8), 0.9)[..., None]


def cobbles(rng: Generator) -> Array:
    """Rounded stones in dark joints."""
    count = int(rng.choice([12, 18]))
    edge, index = cells(int(rng.integers(2)), count)
    height = np.sqrt(np.clip(edge, 0, 0.6) / 0.6)
    grey = rng.uniform(0.38, 0.62)
    lut = np.clip(grey + rng.normal(0, 0.1, (count * count, 1)), 0.15, 0.9) ** 2.2
    lut = lut * rng.normal(1, 0.07, (count * count, 3))
    rough = 1 + 0.2 * _noise(rng, 0.6)
    colour = lut[index] * (rough * (0.15 + 0.85 * height))[..., None]
    return colour * _relief(height + 0.05 * _noise(rng, 0.7), 4.0)[..., None]


def sand(rng: Generator) -> Array:
    """Wind-rippled grains."""
    base = linear(0.83, 0.73, 0.55) * rng.uniform(0.75, 1.1)
    waves = int(rng.choice([14, 20, 28]))
    phase = 2 * np.pi * waves * _ROW / SIZE + 2.2 * _noise(rng, 1.6)
    height = np.sin(phase) * rng.uniform(0.3, 1.0) + 0.6 * _noise(rng, 1.3)
    grains = 1 + 0.16 * _noise(rng, 0.15) + 0.1 * _noise(rng, 1.0)
    pebbles = 1 - 0.5 * (_noise(rng, 0.5) > 2.4)
    return _tint(base, grains * pebbles) * _relief(height, 0.8)[..., None]


def planks(rng: Generator) -> Array:
    """Boards with grain and knots, running along x."""
    count = int(rng.choice([3, 4, 5]))
    y = _ROW * (count / SIZE)
    board = np.floor(y).astype(int)
    rise = np.abs(y % 1 - 0.5)
    base = [linear(0.62, 0.42, 0.26), linear(0.75, 0.58, 0.38), linear(0.45, 0.29, 0.2),
            linear(0.7, 0.66, 0.6)][rng.integers(4)]  # fmt: skip
    slide = rng.integers(0, SIZE, count)[board]
    streak, slow = _noise(rng, 0.9, 14.0), _noise(rng, 1.4, 5.0)
    columns = (_COLUMN.astype(int) + slide) % SIZE
    rows = _ROW.astype(int)
    streak, slow = streak[rows, columns], slow[rows, columns]
    rings = np.sin(2 * np.pi * (slow * 1.6 + y * 3))
    value = rng.uniform(0.75, 1.2, count)[board] * (1 + 0.2 * streak + 0.13 * rings)
    gap = smoothstep(0.5, 0.485, rise)
    return _tint(base, np.clip(value, 0.2, 2) * (0.2 + 0.8 * gap))


def cloth(rng: Generator) -> Array:
    """Woven fabric: plain, plaid, striped or dotted, with visible threads and soft folds."""
    first = linear(*rng.uniform(0.15, 0.9, 3))
    second = linear(*rng.uniform(0.15, 0.95, 3))
    count = int(rng.choice([4, 6, 8, 12]))
    x, y = (_COLUMN * (count / SIZE)) % 1, (_ROW * (count / SIZE)) % 1
    kind = rng.integers(4)
    blend = np.zeros_like(x)
    if kind == 1:
        blend = 0.5 * (x < 0.45) + 0.5 * (y < 0.45) + 0.0 * x
    elif kind == 2:
        blend = (x < 0.4) + 0.5 * ((x > 0.6) & (x < 0.7))
    elif kind == 3:
        blend = smoothstep(0.27, 0.22, np.hypot(x - 0.5, y - 0.5))
    blend = np.asarray(blend, np.float32)[..., None]
    thread = np.where(
        (_COLUMN // 4 + _ROW // 4) % 2 == 0,
        np.sin(np.pi * (_COLUMN % 4 + 0.5) / 4),
        np.sin(np.pi * (_ROW % 4 + 0.5) / 4),
    )
    value = (0.55 + 0.55 * thread) * (1 + 0.14 * _noise(rng, 0.3) + 0.12 * _noise(rng, 1.6))
    return (first * (1 - blend) + second * blend) * value[..., None]


def _strokes(rng: Generator, colour: Array, points: tuple[Array, Array, Array]) -> Array:
    """Paint many small marks, later ones on top; points are (mark, sample) x, y, shade."""
    canvas = np.zeros((SIZE, SIZE, 3), np.float32)
    x, y, value = points
    column, row = np.rint(x).astype(int) % SIZE, np.rint(y).astype(int) % SIZE
    ink = colour[:, None, :] * value[..., None]
    canvas[row.ravel(), column.ravel()] = ink.reshape(-1, 3)
    return canvas


def grass(rng: Generator) -> Array:
    """A lawn of overlapping blades over dark soil."""
    count, samples = 16000, 22
    along = np.linspace(0, 1, samples, dtype=np.float32)[None]
    angle = rng.normal(-np.pi / 2, 0.6, (count, 1)).astype(np.float32)
    length = rng.uniform(12, 34, (count, 1)).astype(np.float32)
    bend = rng.normal(0, 0.7, (count, 1)).astype(np.float32) * along
    x = rng.uniform(0, SIZE, (count, 1)) + np.cos(angle + bend) * length * along
    y = rng.uniform(0, SIZE, (count, 1)) + np.sin(angle + bend) * length * along
    order = np.linspace(0.35, 1.15, count)[:, None] * rng.uniform(0.75, 1.25, (count, 1))
    dry = rng.uniform(0, rng.choice([0.25, 0.6]), (count, 1))
    green = linear(0.34, 0.56, 0.16) * (1 - dry) + linear(0.68, 0.66, 0.34) * dry
    value = order * (0.5 + 0.75 * along)
    wide = (np.concatenate([x, x + 1], 1), np.concatenate([y, y], 1), np.tile(value, (1, 2)))
    lawn = _strokes(rng, green, wide) * rng.uniform(0.7, 1.1)
    return np.where(lawn > 0, lawn, linear(0.2, 0.2, 0.1) * 0.7).astype(np.float32)


def leaves(rng: Generator) -> Array:
    """A dense hedge of shaded leaves."""
    count = 2600
    radius, turn = np.meshgrid(np.linspace(-1, 1, 19), np.linspace(-1, 1, 13))
    spot = (radius**2 + turn**2) <= 1
    along, across = radius[spot][None], turn[spot][None]
    size = rng.uniform(7, 15, (count, 1))
    angle = rng.uniform(0, 2 * np.pi, (count, 1))
    narrow = across * 0.5 * (1 - 0.35 * along)
    x = rng.uniform(0, SIZE, (count, 1)) + size * (np.cos(angle) * along - np.sin(angle) * narrow)
    y = rng.uniform(0, SIZE, (count, 1)) + size * (np.sin(angle) * along + np.cos(angle) * narrow)
    depth = np.linspace(0.12, 1.1, count)[:, None] ** 1.3
    tilt = rng.normal(0, 0.35, (count, 1))
    vein = 1 - 0.35 * (np.abs(across) < 0.12)
    value = depth * np.clip(1 + tilt * across + 0.25 * along, 0.3, 1.8) * vein
    dry = rng.uniform(0, rng.choice([0.2, 0.2, 0.8]), (count, 1))
    green = linear(0.28, 0.5, 0.17) * (1 - dry) + linear(0.75, 0.55, 0.2) * dry
    points = (x.astype(np.float32), y.astype(np.float32), value.astype(np.float32))
    return _strokes(rng, green.astype(np.float32), points) + linear(0.1, 0.14, 0.06)


#: Makers of each stuff class that is a surface (sky and water are shaded per pixel).
MAKERS: dict[str, tuple[Callable[[Generator], Array], ...]] = {
    "grass": (grass,),
    "sand": (sand,),
    "wall": (brick, brick, plaster, wallpaper),
    "pavement": (slabs, cobbles),
    "wood": (planks,),
    "fabric": (cloth,),
    "foliage": (leaves,),
}
