"""A person in the scene: head with hair and neck as one solid, clothed shoulders as another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from icmbench.scenes.camera import Camera
from icmbench.scenes.face_model import EXTENT, FaceModel, make_face_model
from icmbench.scenes.face_paint import Complexion, make_complexion, paint_face
from icmbench.scenes.noise import (
    Array,
    Tile,
    fractal,
    linear,
    lookup,
    rotation,
    smoothstep,
)  # fmt: skip
from icmbench.scenes.solids import (
    Distance,
    Paint,
    Solid,
    blend,
    box,
    cylinder,
    ellipsoid,
    length,
    normals,
)  # fmt: skip
from icmbench.scenes.surfaces import cloth

_HEAD_HEIGHT = 2.75  # chin to crown in head units


@dataclass(frozen=True)
class Person:
    """Solids of a person; centre and radius of the head in pixels; landmarks (68, 2) in pixels."""

    solids: list[Solid]
    centre: tuple[float, float]
    radius: float
    depth: float
    landmarks: Array


def _hair(rng: Generator) -> Distance | None:
    """Distance to the hair of a drawn style; None for a shaved head."""
    style = rng.choice(["short", "short", "long", "long", "bob", "curly", "bun", "shaved"])
    if style == "shaved":
        return None
    line, thick = float(rng.uniform(0.74, 0.98)), float(rng.uniform(1.07, 1.17))
    part, wave = float(rng.uniform(-0.6, 0.6)), float(rng.uniform(0.02, 0.07))
    hem = {"short": -0.25, "bun": -0.5, "curly": -0.55, "bob": -1.15, "long": -2.3}[str(style)]

    def distance(p: Array) -> Array:
        cap = ellipsoid(p, (0, 0.27, -0.12), (thick, 1.32 * thick / 1.08, 1.3))
        if style in ("bob", "long", "curly"):
            cap = blend(cap, ellipsoid(p, (0, -0.45, -0.42), (1.27, 1.95, 0.92)), 0.2)
        if style == "bun":
            cap = np.minimum(cap, length(p[0], p[1] - 1.65, p[2] + 0.35) - 0.42)
        if style == "curly":
            noise = fractal(1, 1.8, 1.0, 6)
            cap = cap - 0.05 * lookup(noise, p[0] * 90 + 9, p[1] * 90 + p[2] * 60)
        rise = line - 0.12 * np.abs(p[0] - part) + wave * np.sin(p[0] * 9 + part * 7)
        middle = np.float32(-0.75)
        # A rounded rectangle rather than an ellipse, so that most styles leave the brows bare.
        high = np.abs(p[1] - middle) / (rise - middle)
        inside = np.cbrt(np.abs(p[0] / 0.94) ** 3 + high**3) - 1
        opening = np.maximum(inside * 0.85, -(p[2] - 0.05))
        return np.asarray(np.maximum(np.maximum(cap, -opening), hem + 0.1 * np.abs(p[0]) - p[1]))

    return distance


def _ears(p: Array) -> Array:
    q = np.stack([np.abs(p[0]), p[1], p[2]])
    return ellipsoid(q, (0.99, 0.02, -0.12), (0.13, 0.3, 0.19))


def _neck(p: Array) -> Array:
    return cylinder(length(p[0], p[2] + 0.38), p[1] + 1.6, 0.53, 1.1, 0.1)


def _head(rng: Generator, face: FaceModel, look: Complexion, side: int) -> tuple[Distance, Paint]:
    picture = paint_face(rng, look, face.points, side)
    planes = [np.ascontiguousarray(picture[..., channel]) for channel in range(3)]
    hair = _hair(rng)

    def skin(p: Array) -> Array:
        return np.minimum(blend(face.distance(p), _neck(p), 0.12), _ears(p))

    def distance(p: Array) -> Array:
        return skin(p) if hair is None else np.minimum(skin(p), hair(p))

    def paint(p: Array, n: Array) -> tuple[Array, Array | float]:
        scale = np.float32(side / (2 * EXTENT))
        # Table entry i covers [i, i + 1): its colour belongs to i + 0.5.
        x, y = (p[0] + EXTENT) * scale - 0.5, (EXTENT - p[1]) * scale - 0.5
        colour = np.stack([lookup(plane, x, y) for plane in planes], axis=1)
        front = smoothstep(0.0, 0.25, p[2]) * (p[1] > face.points[8, 1] - 0.1)
        fine = lookup(fractal(1, 0.5), p[0] * 300 + p[2] * 170, p[1] * 300)
        plain = look.skin * (1 + 0.05 * fine)[:, None]
        colour = plain + (colour - plain) * front[:, None]
        gloss = np.full(p.shape[1], 0.22, np.float32)
        if hair is not None:
            on_hair = hair(p) < skin(p)
            around = np.arctan2(p[0], p[2] + 0.4)
            strand = lookup(fractal(0, 0.7, 14.0), p[1] * 90, around * 260)
            lock = lookup(fractal(2, 1.2, 5.0), p[1] * 60, around * 90)
            value = np.clip(0.9 + 0.26 * strand + 0.2 * lock, 0.25, 1.9)
            sheen = np.exp(-(((p[1] - 0.95 - 0.1 * lock) / 0.16) ** 2))
            tress = look.hair * (value * (1 + 0.8 * sheen))[:, None] + 0.02 * sheen[:, None]
            colour = np.where(on_hair[:, None], tress, colour)
            gloss[on_hair] = 0.05
        return colour.astype(np.float32), gloss

    return distance, paint


def _torso(rng: Generator) -> tuple[Distance, Paint]:
    tile = Tile.of(cloth(rng))
    collar = linear(*rng.uniform(0.1, 0.95, 3))
    scoop = float(rng.uniform(0.7, 0.95))

    def distance(p: Array) -> Array:
        shoulders = ellipsoid(p, (0, -3.12, -0.45), (2.3, 1.5, 0.95))
        return blend(shoulders, box(p, (0, -5.2, -0.45), (1.9, 2.2, 0.85), 0.7), 0.4)

    def paint(p: Array, n: Array) -> tuple[Array, Array | float]:
        fold = lookup(fractal(2, 1.5), p[0] * 40, p[1] * 40)
        spacing = np.full(p.shape[1], 0.004, np.float32)
        colour = tile.sample(p[0] * 0.45 + 0.02 * fold, p[1] * 0.45, spacing)
        ring = length(p[0], (p[1] + 1.7) * 1.3) - scoop
        colour[np.abs(ring) < 0.07] = collar
        return colour * np.clip(1 + 0.15 * fold, 0.5, 1.5)[:, None], 0.0

    return distance, paint


def _visible_jaw(face: FaceModel, distance: Distance, solid: Solid) -> Array:
    """Surface points (3, 17) of the jaw, moved inwards until they face the viewer.

    Contour points that turn away are replaced by the visible outline (landmark marching: Zhu et
    al., "High-Fidelity Pose and Expression Normalization", CVPR 2015).
    """
    factors = np.concatenate([[1.0], np.linspace(0.99, 0.5, 60)])
    pivot = np.array([0, -0.3], np.float32)
    jaw = face.points[:17]
    spread = (pivot + factors[:, None, None] * (jaw - pivot)).reshape(-1, 2).astype(np.float32)
    points = face.on_surface(spread)
    n = solid.rotation @ normals(distance, points, 0.02)
    view = solid.to_world(points) - np.array([[0], [1], [0]], np.float32)
    view /= length(*view)
    seen = ((-n * view).sum(axis=0) > 0.05).reshape(len(factors), 17)
    first = np.where(seen.any(axis=0), seen.argmax(axis=0), 0)
    chosen = first * 17 + np.arange(17)
    return points[:, chosen]


def make_person(rng: Generator, camera: Camera) -> Person:
    """Draw a person whose head takes half to two thirds of the image."""
    short = min(camera.height, 1.3 * camera.width)
    unit = short * float(rng.uniform(0.5, 0.66)) / _HEAD_HEIGHT
    x = camera.width * float(rng.uniform(0.36, 0.64))
    y = max(camera.height * float(rng.uniform(0.42, 0.5)), 1.6 * unit + 2)
    depth = 1.15
    ray = camera.rays(np.array([x], np.float32), np.array([y], np.float32))[:, 0]
    eye = np.array([0, 1, 0], np.float32)
    along = ray[2] * np.cos(camera.pitch) - ray[1] * np.sin(camera.pitch)
    position = (eye + ray * (depth / along)).astype(np.float32)
    size = unit * depth / camera.focal
    yaw, tilt, roll = rng.normal(0, (0.3, 0.12, 0.1))
    yaw, tilt = float(np.clip(yaw, -0.5, 0.5)), float(np.clip(tilt, -0.25, 0.25))
    to_camera = rotation(0, camera.pitch) @ np.diag([1, 1, -1]).astype(np.float32)
    turn = to_camera @ rotation(1, yaw) @ rotation(0, tilt) @ rotation(2, float(roll))
    face, look = make_face_model(rng), make_complexion(rng)
    side = 1 << int(np.clip(np.ceil(np.log2(unit * 2 * 1.7)), 7, 10))
    distance, paint = _head(rng, face, look, side)
    head = Solid("face", distance, paint, (0, -0.4, -0.2), 2.5, position, turn, size)
    body_distance, body_paint = _torso(rng)
    stand = to_camera @ rotation(1, 0.5 * yaw + float(rng.normal(0, 0.15)))
    body = Solid("fabric", body_distance, body_paint, (0, -4.4, -0.4), 4.0, position,
                 stand.astype(np.float32), size)  # fmt: skip
    marks = face.on_surface(face.points)
    marks[:, :17] = _visible_jaw(face, face.distance, head)
    landmarks = camera.project(head.to_world(marks)).T.astype(np.float32)
    return Person([head, body], (x, y), 1.5 * unit, depth, landmarks)
