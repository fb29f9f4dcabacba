"""Homographies of flat sheets: a pinhole camera, the corners of a tilted sheet, free places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import DatasetError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tilt:
    """Pose of a sheet before the camera.

    Attributes:
        yaw, pitch, roll: degrees about its vertical axis, its horizontal axis, the line of sight.
        distance: of the camera, in diagonals of the sheet; a smaller one: stronger perspective.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    distance: float = 2.0


def outline(size: Sequence[float]) -> Floats:
    """Corners (4, 2) of a flat sheet of `size` (width, height)."""
    width, height = size
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)


def tilted(size: Sequence[float], centre: Sequence[float], scale: float, tilt: Tilt) -> Floats:
    """Corners (4, 2) in the image of a sheet of `size` (width, height).

    Args:
        centre: x, y in the image of the sheet's centre.
        scale: pixels of the image per pixel of the sheet, at its centre and without tilt.

    Raises DatasetError where a corner would be behind the camera.
    """
    yaw, pitch, roll = np.radians([tilt.yaw, tilt.pitch, tilt.roll])
    corners = outline(size)
    flat = corners - corners[2] / 2
    points = np.column_stack([flat, np.zeros(4)]) @ (
        _rotation(1, yaw) @ _rotation(0, pitch) @ _rotation(2, roll)
    )
    far = tilt.distance * math.hypot(*size)
    depth = points[:, 2] + far
    if depth.min() <= 0.05 * far:
        raise DatasetError(f"a sheet at {tilt} reaches behind the camera: tilt it less")
    return np.asarray(points[:, :2] * (far * scale / depth)[:, None] + np.array(centre))


def _rotation(axis: int, angle: float) -> Floats:
    """Matrix that rotates row vectors by `angle` radians about a coordinate axis."""
    first, second = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = np.sin(angle), -np.sin(angle)
    return matrix


def homography(source: Floats, target: Floats) -> Floats:
    """The projective map (3, 3) of four points (4, 2) to four others, its last entry being 1.

    Raises DatasetError where three of the points lie on a line.
    """
    rows, right = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    if _flat(source) or _flat(target):
        raise DatasetError("no homography: three of the four points lie on a line")
    solved = np.linalg.solve(np.array(rows, np.float64), np.array(right, np.float64))
    return np.append(solved, 1.0).reshape(3, 3)


def _flat(points: Floats) -> bool:
    """True if three of four points lie on a line, to a part in 10^9 of their extent."""
    square = float(np.ptp(points, axis=0).max()) ** 2
    triples = (points[np.delete(np.arange(4), left_out)] for left_out in range(4))
    return any(
        abs(np.linalg.det(np.column_stack([three, np.ones(3)]))) <= 1e-9 * square
        for three in triples
    )


def project(matrix: Floats, points: Any) -> Floats:
    """Points (n, 2) mapped by a homography."""
    flat = np.asarray(points, np.float64).reshape(-1, 2)
    mapped = np.column_stack([flat, np.ones(len(flat))]) @ matrix.T
    return np.asarray(mapped[:, :2] / mapped[:, 2:])


def sides(corners: Floats) -> Floats:
    """Lengths (4,) of the sides of corners: top, right, bottom, left."""
    return np.asarray(np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1))


def fits(
    corners: Floats, others: Sequence[Floats], size: Sequence[float], margin: float = 4.0
) -> bool:
    """True if convex corners lie inside an image of `size` and apart from others.

    Args:
        margin: least distance in pixels to the border of the image, and to the others along the
            normal of one of the sides.
    """
    low, high = corners.min(axis=0), corners.max(axis=0)
    inside = bool((low >= margin).all() and (high <= np.subtract(size, margin)).all())
    return inside and all(_apart(corners, other, margin) for other in others)


def _apart(first: Floats, second: Floats, gap: float) -> bool:
    """True if a side of one of two convex outlines separates them by `gap` pixels."""
    for polygon in (first, second):
        edges = np.roll(polygon, -1, axis=0) - polygon
        normals = np.column_stack([-edges[:, 1], edges[:, 0]])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        one, other = first @ normals.T, second @ normals.T
        distance = np.maximum(
            other.min(axis=0) - one.max(axis=0), one.min(axis=0) - other.max(axis=0)
        )
        if (distance >= gap).any():
            return True
    return False
