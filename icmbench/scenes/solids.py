"""Solids as signed distance functions, traced by sphere marching.

Points are arrays (3, n). Distance formulas follow the standard primitives of implicit modelling
(Hart, "Sphere tracing", The Visual Computer 12, 1996). A distance may be under-estimated, never
over-estimated by much: the marching step is scaled for that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from icmbench.scenes.noise import Array

Distance = Callable[[Array], Array]
#: (local points, local normals) -> (linear albedo (n, 3), gloss (n,) or a number in 0..1)
Paint = Callable[[Array, Array], tuple[Array, Array | float]]


@dataclass(frozen=True)
class Solid:
    """A placed solid: world = position + size * rotation @ local."""

    label: str  # a thing or a stuff name
    distance: Distance  # in local units
    paint: Paint
    centre: tuple[float, float, float]  # of the bounding ball, local
    radius: float  # of the bounding ball, local
    position: Array
    rotation: Array
    size: float

    def to_local(self, points: Array) -> Array:
        """World points (3, n) in the solid's frame."""
        local = self.rotation.T @ (points - self.position[:, None])
        return np.asarray((local / np.float32(self.size)).astype(np.float32))

    def to_world(self, points: Array) -> Array:
        """Local points (3, n) in the world."""
        return self.position[:, None] + np.float32(self.size) * (self.rotation @ points)

    def ball(self) -> tuple[Array, float]:
        """Centre (3,) and radius of the bounding ball in the world."""
        centre = self.to_world(np.asarray(self.centre, np.float32)[:, None])[:, 0]
        return centre, self.radius * self.size


def length(*parts: Array) -> Array:
    """Euclidean norm of the given coordinates."""
    total = parts[0] * parts[0]
    for part in parts[1:]:
        total = total + part * part
    return np.asarray(np.sqrt(total))


def ellipsoid(p: Array, centre: tuple[float, float, float], radii: tuple[float, float, float]
              ) -> Array:  # fmt: skip
    """First-order distance to an axis-aligned ellipsoid."""
    q = [(p[i] - centre[i]) / radii[i] for i in range(3)]
    near = length(*q)
    slope = length(*[q[i] / radii[i] for i in range(3)])
    return np.asarray(near * (near - 1) / np.maximum(slope, 1e-6))


def box(p: Array, centre: tuple[float, float, float], half: tuple[float, float, float],
        rounding: float) -> Array:  # fmt: skip
    """Distance to a box with rounded edges; `half` includes the rounding."""
    q = [np.abs(p[i] - centre[i]) - (half[i] - rounding) for i in range(3)]
    outside = length(*[np.maximum(axis, 0) for axis in q])
    inside = np.minimum(np.maximum(q[0], np.maximum(q[1], q[2])), 0)
    return np.asarray(outside + inside - rounding)


def cylinder(radial: Array, along: Array, radius: float, half: float, rounding: float) -> Array:
    """Distance to a capped cylinder from radial distance and height over its middle."""
    qr, qh = radial - (radius - rounding), np.abs(along) - (half - rounding)
    outside = length(np.maximum(qr, 0), np.maximum(qh, 0))
    return outside + np.minimum(np.maximum(qr, qh), 0) - rounding


def blend(a: Array, b: Array, width: float) -> Array:
    """Smooth union (quadratic) of two distances."""
    h = np.maximum(width - np.abs(a - b), 0) / width
    return np.asarray(np.minimum(a, b) - h * h * np.float32(width * 0.25))


def ball_span(origin: Array, direction: Array, centre: Array, radius: float
              ) -> tuple[Array, Array]:  # fmt: skip
    """Entry and exit (n,) of unit rays through a ball; entry > exit where it is missed."""
    offset = origin - centre[:, None]
    half = np.einsum("in,in->n", np.broadcast_to(offset, direction.shape), direction)
    inside = half * half - np.einsum("in,in->n", offset, offset) + np.float32(radius * radius)
    root = np.sqrt(np.maximum(inside, 0))
    entry, leave = -half - root, -half + root
    return np.where(inside > 0, np.maximum(entry, 0), 1), np.where(inside > 0, leave, 0)


def march(distance: Distance, origin: Array, direction: Array, near: Array, far: Array,
          tolerance: float | Array, steps: int = 56) -> Array:  # fmt: skip
    """Ray lengths (n,) at which unit rays come within `tolerance` of the surface; inf: missed.

    All lengths are local. A tolerance per ray that is the radius of a bundle of rays gives a safe
    start for each ray of the bundle (cone marching).
    """
    t = near.astype(np.float32).copy()
    result = np.full(t.shape, np.inf, np.float32)
    limit = np.broadcast_to(np.asarray(tolerance, np.float32), t.shape)
    alive = np.flatnonzero(near < far)
    for _ in range(steps):
        if alive.size == 0:
            break
        gap = distance(origin[:, alive] + direction[:, alive] * t[alive])
        hit = gap < limit[alive]
        result[alive[hit]] = t[alive[hit]]
        t[alive] += np.maximum(gap * np.float32(0.9), np.float32(0.5) * limit[alive])
        alive = alive[~hit & (t[alive] < far[alive])]
    if alive.size:
        # Rays that creep along a grazed surface or into a crease touch it for all that can be seen.
        gap = distance(origin[:, alive] + direction[:, alive] * t[alive])
        hit = gap < 8 * limit[alive]
        result[alive[hit]] = t[alive[hit]]
    return result


def normals(distance: Distance, p: Array, step: float) -> Array:
    """Unit gradient (3, n) by four evaluations on a tetrahedron."""
    total = np.zeros_like(p)
    for corner in ((1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1)):
        e = np.asarray(corner, np.float32)[:, None]
        total += e * distance(p + e * np.float32(step))
    return total / np.maximum(length(*total), 1e-9)


def occlusion(distance: Distance, origin: Array, light: Array, near: Array, far: Array,
              softness: float, steps: int = 12) -> Array:  # fmt: skip
    """Light (n,) in 0..1 that passes the solid from points towards a soft light.

    The penumbra is the smallest ratio of clearance to travelled length on the way.
    """
    t = np.maximum(near, np.float32(0.02)).astype(np.float32)
    lit = np.ones(t.shape, np.float32)
    alive = np.arange(t.size)
    for _ in range(steps):
        gap = distance(origin[:, alive] + light[:, None] * t[alive])
        lit[alive] = np.minimum(lit[alive], 0.5 + 0.5 * gap / (softness * t[alive]))
        t[alive] += np.clip(gap, 0.03, 0.3)
        alive = alive[(lit[alive] > 0) & (t[alive] < far[alive])]
        if alive.size == 0:
            break
    lit = np.clip(lit, 0, 1)
    return lit * lit * (3 - 2 * lit)
