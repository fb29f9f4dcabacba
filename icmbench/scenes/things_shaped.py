"""Things that their outline gives away: mug, rubber duck, toy car."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from icmbench.scenes.noise import Array, linear, rotation, smoothstep
from icmbench.scenes.solids import blend, box, cylinder, ellipsoid, length
from icmbench.scenes.things_plain import (
    Shape,
    bright,
    mix,
    speckle,
    upright_cylinder,
)  # fmt: skip


def mug(rng: Generator) -> Shape:
    """A glazed cup with a handle, printed with rings, checks, dots or a dipped edge."""
    radius = float(rng.uniform(0.36, 0.46))
    first, second = bright(rng), linear(*rng.uniform(0.75, 0.95, 3))
    if rng.random() < 0.5:
        first, second = second, first
    kind, count = int(rng.integers(5)), int(rng.integers(4, 7))

    def distance(p: Array) -> Array:
        shell = upright_cylinder(p, 0, 1, radius, 0.05)
        hollow = upright_cylinder(p, 0.1, 1.4, radius - 0.055, 0.02)
        ring = length(p[0] - radius - 0.02, p[1] - 0.52) - 0.27
        handle = length(ring, p[2]) - 0.062
        return np.maximum(blend(shell, handle, 0.05), -hollow)

    def paint(p: Array, n: Array) -> tuple[Array, Array | float]:
        turn = np.arctan2(p[2], p[0]) / (2 * np.pi) * count * 2
        radial = length(p[0], p[2])
        height = p[1] * count
        if kind == 0:
            pattern = smoothstep(0.2, 0.24, np.abs(height % 1 - 0.5))
        elif kind == 1:
            pattern = ((np.floor(turn) + np.floor(p[1] * count * 1.2)) % 2).astype(np.float32)
        elif kind == 2:
            odd = turn + 0.5 * (np.floor(height) % 2)
            pattern = smoothstep(0.3, 0.25, length(odd % 1 - 0.5, height % 1 - 0.5))
        elif kind == 3:
            pattern = smoothstep(0.55, 0.57, p[1] + 0.04 * np.sin(turn * np.pi))
        else:
            pattern = np.zeros_like(turn)
        wall = np.abs(radial - radius) < 0.03
        pattern = np.where(wall & (p[1] > 0.06) & (p[1] < 0.94), pattern, 0)
        colour = mix(first, second, pattern.astype(np.float32))
        inside = (radial < radius - 0.03) & (p[1] > 0.09)
        colour[inside] = linear(0.93, 0.92, 0.88) * 0.8
        deep = inside & (p[1] < 0.12)
        colour[deep] = linear(0.25, 0.14, 0.08)
        return colour, 0.8

    return Shape(distance, paint, (0.13, 0.5, 0), radius + 0.42, 1.0)


def duck(rng: Generator) -> Shape:
    """A rubber duck facing +z, in yellow or another bright colour."""
    body = linear(0.97, 0.8, 0.12) if rng.random() < 0.65 else bright(rng)
    beak = linear(0.93, 0.42, 0.08)
    nod = rotation(1, float(rng.uniform(-0.5, 0.5)))
    pivot = np.array([[0], [0.72], [0.2]], np.float32)

    def parts(p: Array) -> tuple[Array, Array]:
        q = nod.T @ (p - pivot)
        trunk = ellipsoid(p, (0, 0.3, 0), (0.38, 0.31, 0.5))
        tail = ellipsoid(p, (0, 0.47, -0.47), (0.14, 0.1, 0.19))
        wing = ellipsoid(np.abs(p) * np.array([[1], [0], [0]], np.float32) + p * np.array(
            [[0], [1], [1]], np.float32), (0.36, 0.34, -0.06), (0.07, 0.15, 0.28))  # fmt: skip
        head = length(*q) - 0.28
        whole = blend(blend(blend(trunk, tail, 0.22), head, 0.1), wing, 0.03)
        bill = ellipsoid(q, (0, -0.06, 0.31), (0.16, 0.05, 0.17))
        return whole, np.minimum(bill, ellipsoid(q, (0, -0.0, 0.27), (0.12, 0.06, 0.1)))

    def distance(p: Array) -> Array:
        whole, bill = parts(p)
        return np.asarray(np.maximum(np.minimum(whole, bill), -p[1]))

    def paint(p: Array, n: Array) -> tuple[Array, Array | float]:
        whole, bill = parts(p)
        q = nod.T @ (p - pivot)
        colour = mix(body, beak, (bill < whole).astype(np.float32))
        eye = length(np.abs(q[0]) - 0.15, q[1] - 0.08, q[2] - 0.215)
        colour = mix(colour, linear(0.97, 0.97, 0.97), smoothstep(0.095, 0.08, eye))
        pupil = length(np.abs(q[0]) - 0.145, q[1] - 0.085, q[2] - 0.24)
        colour = mix(colour, linear(0.05, 0.05, 0.05), smoothstep(0.07, 0.06, pupil))
        colour *= (1 + 0.05 * speckle(p, 0.3, 0.9))[:, None]
        return colour, 0.6

    return Shape(distance, paint, (0, 0.48, 0.03), 0.68, 1.0)


def car(rng: Generator) -> Shape:
    """A toy car facing +z: body, glazed cabin, four wheels, lamps, maybe racing stripes."""
    paintwork, second = bright(rng), linear(*rng.uniform(0.8, 0.95, 3))
    striped, van = rng.random() < 0.5, rng.random() < 0.3
    cab_z, cab_half = (-0.1, 0.52) if van else (-0.1, 0.34)
    cab_top = 0.66 if van else 0.58
    wheels = 0.42

    def wheel(p: Array) -> Array:
        z = np.abs(p[2]) - wheels
        return cylinder(length(p[1] - 0.15, z), np.abs(p[0]) - 0.3, 0.15, 0.06, 0.025)

    def bodywork(p: Array) -> Array:
        lower = box(p, (0, 0.26, 0), (0.35, 0.14, 0.74), 0.08)
        taper = p.copy()
        lean = 1 - 0.45 * np.clip(p[1] - 0.4, 0, 0.3)
        taper[0] /= lean
        taper[2] = (p[2] - cab_z) / (lean * lean)
        cabin = box(taper, (0, cab_top - 0.17, 0), (0.3, 0.17, cab_half), 0.07) * 0.8
        arch = cylinder(length(p[1] - 0.15, np.abs(p[2]) - wheels), p[0], 0.18, 0.6, 0.01)
        return np.maximum(blend(lower, cabin, 0.04), -arch)

    def distance(p: Array) -> Array:
        core = box(p, (0, 0.24, 0), (0.22, 0.1, 0.66), 0.02)
        return np.minimum(np.minimum(bodywork(p), wheel(p)), core)

    def paint(p: Array, n: Array) -> tuple[Array, Array | float]:
        stripe = (np.abs(np.abs(p[0]) - 0.09) < 0.05) & (p[1] > 0.2) & striped
        colour = mix(paintwork, second, stripe.astype(np.float32))
        z = p[2] - cab_z
        high = (p[1] > 0.405) & (p[1] < cab_top - 0.055) & (np.abs(n[1]) < 0.75)
        side = (np.abs(n[0]) > 0.6) & (np.abs(z) < cab_half * 0.82) & (np.abs(z + 0.02) > 0.025)
        front = (np.abs(n[2]) > 0.5) & (np.abs(p[0]) < 0.24)
        glass = high & (side | front)
        colour[glass] = linear(0.13, 0.17, 0.22)
        lamp = length(np.abs(p[0]) - 0.23, p[1] - 0.29) < 0.07
        colour[lamp & (p[2] > 0.66)] = linear(1.0, 0.97, 0.8)
        colour[lamp & (p[2] < -0.66)] = linear(0.85, 0.06, 0.05)
        colour[(np.abs(p[2]) > 0.68) & (p[1] < 0.2)] = linear(0.7, 0.7, 0.72)
        door = (np.abs(np.abs(p[2] + 0.1) - 0.22) < 0.012) & (np.abs(p[0]) > 0.3) & (p[1] > 0.2)
        colour[door] *= 0.25
        rubber = wheel(p) < bodywork(p)
        hub = length(p[1] - 0.15, np.abs(p[2]) - wheels)
        colour[rubber] = linear(0.13, 0.13, 0.13)
        colour[rubber & (hub < 0.085)] = linear(0.75, 0.75, 0.77)
        colour[rubber & (hub < 0.03)] = linear(0.3, 0.3, 0.3)
        under = (wheel(p) > 0.01) & (bodywork(p) > 0.01)
        colour[under] = linear(0.1, 0.1, 0.1)
        return colour, np.where(rubber | under, 0.1, 0.9).astype(np.float32)

    return Shape(distance, paint, (0, 0.33, 0), 0.87, 0.6 if van else 0.55)
