"""Shapes that come in twos: ball and yarn are spheres, crate and basket are boxes.

Within a pair the silhouette, the sizes and the colours are drawn alike; only the surface tells
them apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from icmbench.scenes.noise import Array, fractal, linear, lookup, smoothstep
from icmbench.scenes.solids import Distance, Paint, box, cylinder, length


@dataclass(frozen=True)
class Shape:
    """A solid in its own frame: it stands on y = 0, about one unit tall, front towards +z."""

    distance: Distance
    paint: Paint
    centre: tuple[float, float, float]
    radius: float
    height: float


def random_rotation(rng: Generator) -> Array:
    """A uniformly drawn orthogonal matrix (3, 3)."""
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    return (q * np.sign(np.diag(r))).astype(np.float32)


def bright(rng: Generator) -> Array:
    """A saturated linear colour (3,)."""
    hue = rng.random() * 6
    ramp = np.clip(np.abs((hue - np.array([0.0, 2.0, 4.0]) + 3) % 6 - 3), 0, 2)
    pure = np.clip(2 - ramp, 0, 1)
    saturation, value = rng.uniform(0.6, 0.9), rng.uniform(0.6, 0.92)
    return np.asarray((value * (1 - saturation * (1 - pure))) ** 2.2, np.float32)


def mix(a: Array, b: Array, weight: Array) -> Array:
    """Blend colours (3,) or (n, 3) by weight (n,) of the second."""
    w = weight[:, None]
    result: Array = a * (1 - w) + b * w
    return result.astype(np.float32)


def speckle(p: Array, scale: float, beta: float = 0.6) -> Array:
    """Noise (n,) over a solid from three planes of one table, unit deviation."""
    table, q = fractal(1, beta), p * np.float32(scale * 512)
    total = lookup(table, q[0], q[1]) + lookup(table, q[1] + 97, q[2]) + lookup(table, q[2], q[0])
    return total * np.float32(0.577)


def _icosahedron() -> Array:
    g = (1 + 5**0.5) / 2
    corners = [(0, a, b * g) for a in (-1, 1) for b in (-1, 1)]
    table = np.array([np.roll(c, k) for c in corners for k in range(3)])
    return np.asarray((table / np.linalg.norm(table[0])).astype(np.float32))


def _sphere(bump: Distance | None) -> Distance:
    def distance(p: Array) -> Array:
        d = length(p[0], p[1] - 0.5, p[2]) - 0.5
        return d if bump is None else d - bump(p)

    return distance


def ball(rng: Generator) -> Shape:
    """A beach ball, football, basketball or dotted ball."""
    turn, first, second = random_rotation(rng), bright(rng), bright(rng)
    kind = rng.integers(4)
    white = linear(0.92, 0.92, 0.9)
    ico = _icosahedron()

    def paint(p: Array, n: Array) -> tuple[Array, Array | float]:
        q = turn @ (p - np.array([[0], [0.5], [0]], np.float32))
        q = q / np.maximum(length(*q), 1e-6)
        if kind == 0:
            sector = np.floor((np.arctan2(q[2], q[0]) / np.pi + 1) * 3).astype(int) % 6
            lut = np.stack([first, white, second, white, first * 0.5 + second * 0.5, white])
            return mix(lut[sector], white, smoothstep(0.93, 0.95, np.abs(q[1]))), 0.5
        if kind == 1:
            ranked = np.sort(ico @ q, axis=0)[-2:]
            seam = smoothstep(0.02, 0.008, ranked[1] - ranked[0]) * 0.7
            colour = mix(white, linear(0.35, 0.35, 0.35), seam)
            patch = smoothstep(0.925, 0.935, ranked[1])
            return mix(colour, first * 0.12, patch), 0.3
        if kind == 2:
            bend = np.abs(np.abs(q[0]) - 0.55 - 0.12 * q[1] ** 2)
            line = np.minimum(np.minimum(np.abs(q[1]), np.abs(q[2])), bend)
            grain = 1 + 0.12 * speckle(p, 0.5, 0.3)
            return mix(first, linear(0.1, 0.08, 0.08), smoothstep(0.04, 0.025, line)) * grain[
                :, None
            ], 0.15
        dots = (ico @ q).max(axis=0)
        return mix(first, white, smoothstep(0.92, 0.94, dots)), 0.4

    return Shape(_sphere(None), paint, (0, 0.5, 0), 0.51, 1.0)


def yarn(rng: Generator) -> Shape:
    """A ball of wool: overlapping windings of ridged strands."""
    axes = np.stack([random_rotation(rng)[0] for _ in range(11)])
    width = rng.uniform(0.3, 0.55, len(axes)).astype(np.float32)
    colour, strands = bright(rng), float(rng.uniform(24, 34))
    second = bright(rng) if rng.random() < 0.4 else colour

    def winding(p: Array) -> tuple[Array, Array, Array]:
        q = p - np.array([[0], [0.5], [0]], np.float32)
        q = q / np.maximum(length(*q), 1e-6)
        across = axes @ q
        top = np.abs(across) < width[:, None]
        layer = len(axes) - 1 - np.argmax(top[::-1], axis=0)
        own = np.take_along_axis(across, layer[None], 0)[0]
        side = axes[(layer + 1) % len(axes)].T
        along = np.einsum("in,in->n", side, q)
        rim = width[layer] - np.abs(own)
        return own, along, smoothstep(0.0, 0.07, rim)

    def bump(p: Array) -> Array:
        own, _, rim = winding(p)
        return np.float32(0.012) * (np.abs(np.sin(own * strands)) + rim - 1.2)

    def paint(p: Array, n: Array) -> tuple[Array, Array | float]:
        own, along, rim = winding(p)
        ridge = np.abs(np.sin(own * strands))
        twist = np.sin(along * 90 + own * strands * 5)
        fuzz = 1 + 0.16 * speckle(p, 0.7, 0.4)
        value = (0.18 + 0.95 * ridge**0.8) * (0.55 + 0.45 * rim) * (1 + 0.3 * twist) * fuzz
        band = smoothstep(-0.2, 0.2, np.sin(own * 9))
        return mix(colour, second, band) * np.clip(value, 0.05, 1.5)[:, None], 0.0

    return Shape(_sphere(bump), paint, (0, 0.5, 0), 0.53, 1.0)


def _box_size(rng: Generator) -> tuple[float, float, float]:
    return (
        float(rng.uniform(0.42, 0.62)),
        float(rng.uniform(0.36, 0.5)),
        float(rng.uniform(0.36, 0.55)),
    )


def _brown(rng: Generator) -> Array:
    return linear(*rng.uniform((0.62, 0.44, 0.26), (0.8, 0.62, 0.42)))


def _face_plane(p: Array, n: Array, half: tuple[float, float, float]) -> tuple[Array, ...]:
    """Coordinates on the box face that a point lies on, with the half extents of that face."""
    side = np.abs(n).argmax(axis=0)
    x, y, z = p[0], p[1] - half[1], p[2]
    u = np.where(side == 0, z, x)
    v = np.where(side == 1, z, y)
    half_u = np.where(side == 0, half[2], half[0])
    half_v = np.where(side == 1, half[2], half[1])
    return u.astype(np.float32), v.astype(np.float32), half_u, half_v, side


def crate(rng: Generator) -> Shape:
    """A box of planks in a nailed frame, some with a diagonal brace."""
    half, base = _box_size(rng), _brown(rng)
    braced, boards = rng.random() < 0.5, int(rng.integers(4, 7))
    shades = rng.uniform(0.7, 1.2, 64).astype(np.float32)
    rim = 0.09

    def paint(p: Array, n: Array) -> tuple[Array, Array | float]:
        u, v, half_u, half_v, side = _face_plane(p, n, half)
        edge_u, edge_v = half_u - np.abs(u), half_v - np.abs(v)
        framed = (np.minimum(edge_u, edge_v) < rim).astype(np.float32)
        upright = (edge_u < rim) & (edge_v >= 0)
        row = (v / (2 * half_v) + 0.5) * boards
        brace = np.abs(u / half_u - v / half_v) * 0.5 < 0.1
        on_brace = braced & brace & (framed == 0) & (side != 1)
        run = np.where(upright, v, np.where(on_brace, (u + v) * 0.7, u))
        over = np.where(upright, u, np.where(on_brace, (u - v) * 0.7, v))
        grain = lookup(fractal(0, 0.9, 14.0), run * 260 + side * 90, over * 330)
        board = np.where(framed + on_brace > 0, 40 + side, np.floor(row) + 8 * side).astype(int)
        value = shades[board % 64] * (1 + 0.28 * grain)
        seam = smoothstep(0.02, 0.08, 0.5 - np.abs(row % 1 - 0.5))
        gap = np.where(framed + on_brace > 0, 1, seam)
        inner = np.minimum(edge_u, edge_v) - rim
        shadow = np.where((inner > 0) & (inner < 0.035) & ~on_brace, 0.5, 1.0)
        nail = length(edge_u - rim / 2, edge_v - rim / 2) < 0.018
        value = np.clip(value, 0.2, 1.6) * (0.15 + 0.85 * gap) * shadow * np.where(nail, 0.25, 1)
        return (base * value[:, None]).astype(np.float32), 0.05

    return _boxed(half, paint)


def basket(rng: Generator) -> Shape:
    """A woven wicker box: strips that pass over and under upright stakes."""
    half, base = _box_size(rng), _brown(rng)
    strips = float(rng.uniform(7.5, 10))

    def paint(p: Array, n: Array) -> tuple[Array, Array | float]:
        u, v, half_u, half_v, side = _face_plane(p, n, half)
        x, y = (u + half_u) * strips, (v + half_v) * strips * 1.5
        parity = (np.floor(x) + np.floor(y)) % 2
        over = np.cos(np.pi * (x % 1 - 0.5))
        strip = np.cos(np.pi * (y % 1 - 0.5))
        weave = np.where(parity == 0, over * strip**0.6, 0.75 * (1 - over) * strip**0.6 + 0.12)
        fibre = lookup(fractal(0, 0.9, 14.0), u * 300 + side * 71, v * 500)
        edge = np.minimum(half_u - np.abs(u), half_v - np.abs(v))
        braid = np.abs(np.sin((u + v + np.where(half_u - np.abs(u) < 0.06, v, u)) * 24))
        value = np.where(edge < 0.06, 0.25 + 0.75 * braid, 0.12 + 0.98 * weave)
        value = value * (1 + 0.16 * fibre)
        return (base * np.clip(value, 0.05, 1.5)[:, None]).astype(np.float32), 0.1

    return _boxed(half, paint)


def _boxed(half: tuple[float, float, float], paint: Paint) -> Shape:
    def distance(p: Array) -> Array:
        return box(p, (0, half[1], 0), half, 0.025)

    radius = float(np.linalg.norm(half))
    return Shape(distance, paint, (0, half[1], 0), radius, 2 * half[1])


def upright_cylinder(p: Array, low: float, high: float, radius: float, rounding: float) -> Array:
    """Distance to a cylinder about the y axis between two heights."""
    middle, half = (low + high) / 2, (high - low) / 2
    return cylinder(length(p[0], p[2]), p[1] - middle, radius, half, rounding)
