"""The pinhole camera: rays, projection, and where a pixel meets the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from icmbench.scenes.noise import Array


@dataclass(frozen=True)
class Camera:
    """Stands one unit above the ground y = 0, looks along +z and `pitch` radians down.

    Pixel coordinates are continuous: pixel (column i, row j) covers [i, i+1) x [j, j+1).
    """

    width: int
    height: int
    focal: float  # pixels
    pitch: float

    def rays(self, x: Array, y: Array) -> Array:
        """Unit directions (3, n) through image points."""
        a = (x - self.width / 2) / self.focal
        b = (self.height / 2 - y) / self.focal
        cosine, sine = np.cos(self.pitch), np.sin(self.pitch)
        direction = np.stack([a, b * cosine - sine, b * sine + cosine]).astype(np.float32)
        return np.asarray(direction / np.sqrt((direction * direction).sum(axis=0)))

    def project(self, points: Array) -> Array:
        """Image coordinates (2, n) of world points in front of the camera."""
        cosine, sine = np.cos(self.pitch), np.sin(self.pitch)
        up = points[1] - 1
        depth = points[2] * cosine - up * sine
        rise = points[2] * sine + up * cosine
        x = self.width / 2 + self.focal * points[0] / depth
        y = self.height / 2 - self.focal * rise / depth
        return np.stack([x, y]).astype(np.float32)

    def ground(self, x: float, y: float) -> Array | None:
        """World point (3,) of the ground under an image point; None at or above the horizon."""
        ray = self.rays(np.array([x], np.float32), np.array([y], np.float32))[:, 0]
        if ray[1] > -0.02:
            return None
        point: Array = ray / -ray[1]
        point[1] = 0
        return point

    def depth(self, point: Array) -> float:
        """Distance (world units) of a point along the optical axis."""
        cosine, sine = np.cos(self.pitch), np.sin(self.pitch)
        return float(point[2] * cosine - (point[1] - 1) * sine)
