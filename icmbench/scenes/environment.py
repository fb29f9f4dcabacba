"""Surroundings of a scene: ground, background, sky and light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from icmbench.scenes.camera import Camera
from icmbench.scenes.labels import STUFF_VALUES
from icmbench.scenes.noise import (
    SIZE,
    Array,
    Tile,
    fractal,
    linear,
    lookup,
    smoothstep,
)  # fmt: skip
from icmbench.scenes.surfaces import MAKERS

#: name -> (ground, backdrop, probability); a backdrop of None leaves the horizon open.
PLACES: dict[str, tuple[str, str | None, float]] = {
    "meadow": ("grass", "foliage", 0.16),
    "beach": ("sand", None, 0.17),
    "street": ("pavement", "wall", 0.17),
    "yard": ("grass", "wall", 0.09),
    "park": ("pavement", "foliage", 0.11),
    "table": ("wood", "wall", 0.16),
    "cloth": ("fabric", "wall", 0.14),
}


@dataclass(frozen=True)
class Surface:
    """A tile laid on a plane: `span` world units per repeat, turned and shifted."""

    label: str
    tile: Tile
    span: float
    turn: float
    offset: tuple[float, float]
    uneven: float

    def colour(self, a: Array, b: Array, spacing: Array) -> Array:
        """Albedo (n, 3) at plane coordinates; spacing: distance of neighbouring samples."""
        cosine, sine = np.cos(self.turn), np.sin(self.turn)
        u = (a * cosine - b * sine) / self.span + self.offset[0]
        v = (a * sine + b * cosine) / self.span + self.offset[1]
        broad = lookup(fractal(2, 1.2), a * 70 + self.offset[0] * SIZE, b * 70 + 31)
        colour = self.tile.sample(u, v, spacing / np.float32(self.span))
        return colour * np.clip(1 + self.uneven * broad, 0.4, 1.6)[:, None]


@dataclass(frozen=True)
class Environment:
    """A place with its light. Directions are world units, colours linear."""

    ground: Surface
    backdrop: Surface | None
    distance: float  # of the backdrop, or of the shore where there is none
    top: float  # height of the backdrop
    sky: tuple[Array, Array, float, tuple[float, float]]  # zenith, horizon, cover, shift
    light: Array  # unit, towards the light
    sun: Array
    ambient: Array
    softness: float
    sea: Array


@dataclass
class Trace:
    """Surfaces hit by n rays that meet no object."""

    depth: Array
    label: Array
    albedo: Array
    lambert: Array  # cosine to the light; 0 for the sky
    glow: Array  # radiance that needs no light


def _surface(rng: Generator, label: str, span: float, turn: float) -> Surface:
    makers = MAKERS[label]
    tile = Tile.of(makers[rng.integers(len(makers))](rng))
    offset = (float(rng.random()), float(rng.random()))
    return Surface(label, tile, span, turn, offset, 0.05 if label == "fabric" else 0.11)


def make_environment(rng: Generator, camera: Camera, spread: float) -> Environment:
    """Draw a place, its textures and its light, from at most `spread` radians off the viewer."""
    names = list(PLACES)
    weights = np.array([PLACES[name][2] for name in names])
    place = names[rng.choice(len(names), p=weights / weights.sum())]
    ground_label, backdrop_label, _ = PLACES[place]
    indoor = place in ("table", "cloth")
    foot = camera.height * rng.uniform(0.2, 0.4)
    meet = camera.ground(camera.width / 2, foot)
    distance = float(np.clip(meet[2] if meet is not None else 9.0, 2.4, 9.0))
    turn = rng.uniform(-0.5, 0.5) + (rng.choice([0, np.pi / 2]) if ground_label == "wood" else 0)
    ground = _surface(rng, ground_label, float(rng.uniform(0.8, 1.3)), float(turn))
    backdrop, top = None, 0.0
    if backdrop_label is not None:
        span = float(np.clip(distance * rng.uniform(0.3, 0.45), 1.0, 3.0))
        backdrop = _surface(rng, backdrop_label, span, 0.0)
        low = backdrop_label == "foliage" or (not indoor and rng.random() < 0.3)
        top = 1 + distance * float(rng.uniform(0.02, 0.14)) if low else np.inf
    azimuth, height = rng.uniform(-spread, spread), rng.uniform(0.5, 1.0)
    flat = np.cos(height)
    light = np.array([np.sin(azimuth) * flat, np.sin(height), -np.cos(azimuth) * flat], np.float32)
    warm = rng.uniform(0, 1)
    sun = (linear(1, 1, 1) * (1 - warm) + linear(1, 0.9, 0.76) * warm) * rng.uniform(1.0, 1.35)
    ambient = linear(0.66, 0.72, 0.8) if not indoor else linear(0.74, 0.72, 0.7)
    strength = rng.uniform(0.75, 1.05)
    if rng.random() < 0.2:  # overcast or a dim room
        sun, strength = sun * 0.55, strength * 1.35
    zenith = linear(*rng.uniform((0.2, 0.38, 0.68), (0.45, 0.6, 0.9)))
    sky = (zenith, linear(0.8, 0.86, 0.93), float(rng.uniform(-0.5, 0.9)),
           (float(rng.uniform(0, SIZE)), float(rng.uniform(0, SIZE))))  # fmt: skip
    sea = linear(*rng.uniform((0.08, 0.28, 0.36), (0.2, 0.45, 0.5)))
    softness = float(rng.uniform(0.12, 0.25) if indoor else rng.uniform(0.04, 0.12))
    return Environment(ground, backdrop, distance, top, sky, light, sun.astype(np.float32),
                       (ambient * strength).astype(np.float32), softness, sea)  # fmt: skip


def _sky(place: Environment, ray: Array) -> Array:
    zenith, horizon, cover, shift = place.sky
    rise = np.clip(ray[1], 0.0, 1)
    blue = horizon + (zenith - horizon) * (np.minimum(rise * 2.6, 1) ** 0.7)[:, None]
    scale = 60 / (rise + 0.16)
    x, y = ray[0] * scale + shift[0], ray[2] * scale * 0.7 + shift[1]
    noise = lookup(fractal(0, 1.35), x, y) + 0.35 * lookup(fractal(1, 0.9), x * 3, y * 3)
    cloud = smoothstep(0.1, 1.5, noise + np.float32(cover))
    shade = 0.82 + 0.2 * np.clip(noise - 0.6, -1, 1)
    white = linear(0.97, 0.97, 0.99) * shade[:, None]
    result: Array = blue * (1 - cloud[:, None]) + white * cloud[:, None]
    return result.astype(np.float32) * np.float32(0.95)


def _water(place: Environment, x: Array, z: Array, ray: Array) -> Array:
    fade = 1 / (1 + 0.03 * z)
    wave = lookup(fractal(0, 0.8, 3.0, 6), x * 110, z * 110)
    wave = wave + 0.6 * lookup(fractal(1, 0.6, 2.0, 12), x * 260 + 90, z * 260)
    sky = np.clip(0.16 + 0.75 * (1 + ray[1] * 3.0) ** 3 + 0.2 * wave * fade, 0.03, 1.0)
    colour = place.sea * (1 + 0.25 * wave * fade)[:, None] * (1 - sky[:, None])
    colour = colour + (0.35 * place.sky[0] + 0.45 * place.sky[1]) * sky[:, None]
    glint = np.clip(wave - 1.6, 0, 1) * fade
    foam = smoothstep(0.5, 0.1, np.abs(z - place.distance - 0.12 - 0.1 * wave))
    result: Array = colour + (0.7 * glint + 0.5 * foam * (0.5 + 0.3 * wave))[:, None]
    return np.clip(result, 0.01, 1.0).astype(np.float32)


def trace(place: Environment, camera: Camera, ray: Array, scale: int) -> Trace:
    """Shade the empty place along unit rays (3, n); scale: samples per pixel side."""
    count = ray.shape[1]
    pixel = 1 / (camera.focal * scale)
    down = np.minimum(ray[1], -1e-4)
    to_ground = np.where(ray[1] < -1e-4, -1 / down, np.inf).astype(np.float32)
    to_wall = np.full(count, np.inf, np.float32)
    if place.backdrop is not None:
        hit = place.distance / np.maximum(ray[2], 1e-3)
        height = 1 + hit * ray[1]
        rim: Array = np.zeros(count, np.float32)
        if place.backdrop.label == "foliage":
            across = hit * ray[0]
            rim = 0.16 * lookup(fractal(1, 1.3), across * 60, np.full(count, 7, np.float32))
            rim = rim + 0.05 * lookup(fractal(2, 1.0, 1.0, 4), across * 150, height * 150)
        to_wall = np.where(height < place.top + rim, hit, np.inf).astype(np.float32)
    depth = np.minimum(np.minimum(to_ground, to_wall), 80).astype(np.float32)
    out = Trace(depth, np.full(count, STUFF_VALUES["sky"], np.uint8),
                np.zeros((count, 3), np.float32), np.zeros(count, np.float32),
                np.zeros((count, 3), np.float32))  # fmt: skip
    on_wall = np.isfinite(to_wall) & (to_wall < to_ground)
    on_ground = np.isfinite(to_ground) & ~on_wall
    _fill_ground(place, out, ray, np.flatnonzero(on_ground), pixel)
    if place.backdrop is not None:
        index = np.flatnonzero(on_wall)
        x, y = ray[0, index] * depth[index], 1 + ray[1, index] * depth[index]
        out.albedo[index] = place.backdrop.colour(x, -y, depth[index] * np.float32(pixel))
        out.albedo[index] *= (1 - 0.35 * np.exp(-y / 0.12))[:, None]
        out.label[index] = STUFF_VALUES[place.backdrop.label]
        out.lambert[index] = max(float(-place.light[2]), 0.12)
    index = np.flatnonzero(~on_wall & ~on_ground)
    out.glow[index] = _sky(place, ray[:, index])
    out.depth[index] = 80
    return out


def _fill_ground(place: Environment, out: Trace, ray: Array, index: Array, pixel: float) -> None:
    depth = out.depth[index]
    x, z = ray[0, index] * depth, ray[2, index] * depth
    slant = np.sqrt(np.maximum(-ray[1, index], 0.004))
    spacing = depth * np.float32(pixel) / slant
    shore = place.distance + 0.25 * lookup(fractal(2, 1.6), x * 40, np.full_like(x, 5))
    wet = (z > shore) if place.backdrop is None else np.zeros(len(index), bool)
    dry, sea = index[~wet], index[wet]
    colour = place.ground.colour(x[~wet], z[~wet], spacing[~wet])
    if place.backdrop is None:
        colour *= (1 - 0.4 * np.exp(-np.maximum(shore - z, 0)[~wet] / 0.3))[:, None]
    out.albedo[dry] = colour
    out.label[dry] = STUFF_VALUES[place.ground.label]
    out.lambert[dry] = place.light[1]
    haze = np.exp(-depth[wet] / 60)[:, None]
    out.glow[sea] = _water(place, x[wet], z[wet], ray[:, sea]) * haze + place.sky[1] * (1 - haze)
    out.label[sea] = STUFF_VALUES["water"]
