"""The face as a shape: 68 landmarks in its frontal plane and the relief of the head.

Head coordinates: x to the viewer's right when the face looks straight ahead, y up, z out of the
face; one unit is half the width of the face. The landmark order is that of the iBUG 300-W mark-up
(Sagonas et al., "300 Faces in-the-Wild Challenge", 2013): jaw 0-16, brows 17-26, nose 27-35,
eyes 36-47, mouth 48-67. Landmarks drive everything else: features are painted through them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from icmbench.scenes.noise import Array, lookup
from icmbench.scenes.solids import length

EXTENT = 1.6  # the frontal plane is painted for |x|, |y| < EXTENT
_RELIEF = 512
_JAW_TOP = 0.15  # height of the widest part of the head
_DEPTH = 1.12
_ON_JAW = 0.975  # jaw points as a fraction of the way from the centre to the outline


def mirrored(points: list[tuple[float, float]]) -> Array:
    """Points of the left half followed by their mirror images in reversed order."""
    half = np.asarray(points, np.float32)
    return np.concatenate([half, half[::-1] * (-1, 1)]).astype(np.float32)


@dataclass(frozen=True)
class FaceModel:
    """One person's face with an expression; `points` (68, 2) lie in the frontal plane."""

    points: Array
    chin: float  # depth of the chin below the widest part
    square: float  # exponent of the jaw's outline
    crown: float
    relief: Array

    def outline(self, p: Array) -> Array:
        """Frontal radius (n,): 1 on the outline of the face, p is (>= 2, n)."""
        x, y = np.abs(p[0]), p[1] - _JAW_TOP
        low = np.abs(np.minimum(y, 0)) / self.chin
        jaw = (np.maximum(x, 1e-6) ** self.square + low**self.square) ** (1 / self.square)
        skull = length(x, y / self.crown)
        return np.where(y < 0, jaw, skull).astype(np.float32)

    def distance(self, p: Array) -> Array:
        """Approximate signed distance (n,) to the bare head."""
        radius = length(self.outline(p), p[2] / np.float32(_DEPTH))
        scale = np.float32(_RELIEF / (2 * EXTENT))
        bump = lookup(self.relief, (p[0] + EXTENT) * scale, (EXTENT - p[1]) * scale)
        return np.asarray((radius - 1) * np.float32(0.8) - bump * np.clip(p[2] * 4, 0, 1))

    def on_surface(self, xy: Array) -> Array:
        """Points (3, n) of the front of the head above frontal positions (n, 2)."""
        levels = np.linspace(1.8, 0, 121, dtype=np.float32)
        grid = np.empty((3, len(xy), levels.size), np.float32)
        grid[0], grid[1], grid[2] = xy[:, :1], xy[:, 1:], levels
        gap = self.distance(grid.reshape(3, -1)).reshape(len(xy), -1)
        inside = gap < 0
        last = levels.size - 1
        first = np.clip(np.where(inside.any(axis=1), inside.argmax(axis=1), last), 1, last)
        rows = np.arange(len(xy))
        outer, inner = gap[rows, first - 1], gap[rows, first]
        part = np.clip(outer / np.where(outer > inner, outer - inner, 1), 0, 1)
        z = levels[first - 1] + (levels[first] - levels[first - 1]) * part
        return np.stack([xy[:, 0], xy[:, 1], z]).astype(np.float32)


def _brows(rng: Generator) -> Array:
    lift, arch = rng.uniform(-0.04, 0.09), rng.uniform(0.3, 1.3)
    heights = np.array([0.40, 0.51, 0.545, 0.53, 0.49])
    heights = 0.46 + (heights - 0.46) * arch + lift
    left = list(zip([-0.78, -0.65, -0.5, -0.35, -0.2], heights.tolist(), strict=True))
    return mirrored(left)


def _eyes(rng: Generator) -> Array:
    spread, open_ = rng.uniform(0.95, 1.05), rng.uniform(0.6, 1.15)
    slant = rng.uniform(-0.02, 0.04)
    left = np.array([(-0.63, 0.2 + slant), (-0.52, 0.2 + 0.085 * open_),
                     (-0.35, 0.2 + 0.09 * open_), (-0.23, 0.185),
                     (-0.35, 0.2 - 0.065 * open_), (-0.52, 0.2 - 0.065 * open_)])  # fmt: skip
    left[:, 0] *= spread
    right = left[[3, 2, 1, 0, 5, 4]] * (-1, 1)
    return np.concatenate([left, right]).astype(np.float32)


def _nose(rng: Generator) -> Array:
    width, tip = rng.uniform(0.85, 1.2), rng.uniform(-0.44, -0.34)
    ridge = np.stack([np.zeros(4), np.linspace(0.24, tip + 0.06, 4)], axis=1)
    x = np.array([-0.23, -0.115, 0, 0.115, 0.23]) * width
    base = np.stack([x, tip - np.array([0.055, 0.09, 0.115, 0.09, 0.055])], axis=1)
    return np.concatenate([ridge, base]).astype(np.float32)


def _mouth(rng: Generator) -> tuple[Array, float]:
    """Mouth points (20, 2) and how far the jaw drops."""
    gape = float(rng.uniform(0.02, 0.22)) if rng.random() < 0.4 else 0.0
    smile = float(rng.uniform(-0.03, 0.12))
    width = float(rng.uniform(0.88, 1.1) + smile)
    upper, lower = rng.uniform(0.7, 1.3), rng.uniform(0.8, 1.4)
    top = [(-0.38, smile * 0.9), (-0.24, 0.07 * upper), (-0.085, 0.1 * upper), (0, 0.08 * upper)]
    top += [(-x, y) for x, y in top[-2::-1]]
    bottom = [(0.25, -0.085 * lower), (0.1, -0.13 * lower), (0, -0.14 * lower)]
    bottom += [(-x, y) for x, y in bottom[-2::-1]]
    inner = [(-0.33, smile * 0.8), (-0.1, 0.018), (0, 0.012), (0.1, 0.018), (0.33, smile * 0.8)]
    sill = [(0.1, -0.012), (0, -0.018), (-0.1, -0.012)]
    points = np.array([*top, *bottom, *inner, *sill])
    drop = np.isin(np.arange(20), [7, 8, 9, 10, 11, 17, 18, 19])
    points[drop, 1] -= gape
    points[[0, 6, 12, 16], 1] -= gape * 0.35
    points[:, 0] *= width * (1 - 0.5 * gape)
    points[:, 1] -= 0.8
    return points.astype(np.float32), gape


def _relief(points: Array, rng: Generator) -> Array:
    """Height (n, n) over the bare head: nose, brow, sockets, lips, cheeks, chin."""
    axis = (np.arange(_RELIEF, dtype=np.float32)) * (2 * EXTENT / _RELIEF) - EXTENT
    x, y = axis[None], -axis[:, None]

    def mound(cx: float, cy: float, sx: float, sy: float, height: float) -> Array:
        across = np.exp(-(((x - cx) / sx) ** 2))
        return np.asarray(np.float32(height) * across * np.exp(-(((y - cy) / sy) ** 2)))

    tip, top = float(points[30, 1]), float(points[27, 1])
    along = np.clip((top - y) / (top - tip), -0.4, 1.25)
    rise = np.clip(along + 0.4, 0, 1.4) / 1.4
    fall = 1 / (1 + np.exp((tip - 0.1 - y) * -28))
    wide = 0.075 + 0.05 * rise
    nose = rng.uniform(0.26, 0.36) * rise**1.3 * (1 - fall) * np.exp(-((x / wide) ** 2))
    total = nose + np.zeros((_RELIEF, _RELIEF), np.float32)
    wing = float(points[35, 0])
    for side in (-1, 1):
        total = total + mound(side * wing * 0.75, tip - 0.03, 0.085, 0.08, 0.1)
        eye = points[36:42].mean(axis=0) if side < 0 else points[42:48].mean(axis=0)
        total = total + mound(float(eye[0]), float(eye[1]), 0.26, 0.14, -0.07)
        total = total + mound(float(eye[0]), float(eye[1]), 0.15, 0.085, 0.04)
        total = total + mound(side * 0.5, -0.25, 0.25, 0.22, 0.04)
        total = total + mound(side * 0.45, 0.46, 0.3, 0.09, 0.035)
    lips = points[48:60].mean(axis=0)
    total = total + mound(0, float(lips[1]) + 0.02, 0.34, 0.2, 0.06)
    total = total + mound(0, float(points[8, 1]) + 0.24, 0.25, 0.16, 0.09)
    total = total + mound(0, float(points[51, 1] + points[33, 1]) / 2, 0.05, 0.08, -0.02)
    return np.asarray(total.astype(np.float32))


def make_face_model(rng: Generator) -> FaceModel:
    """Draw a person and an expression."""
    mouth, gape = _mouth(rng)
    chin = float(rng.uniform(1.32, 1.5) + 0.85 * gape)
    square = float(rng.uniform(1.95, 2.5))
    angle = np.linspace(0, np.pi, 17)
    x = -np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (2 / square)
    y = -(np.sin(angle) ** (2 / square)) * chin
    jaw = np.stack([x, y], axis=1) * _ON_JAW + (0, _JAW_TOP)
    points = np.concatenate([jaw, _brows(rng), _nose(rng), _eyes(rng), mouth]).astype(np.float32)
    return FaceModel(points, chin, square, float(rng.uniform(1.15, 1.3)), _relief(points, rng))
