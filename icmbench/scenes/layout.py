"""Layout of a scene: draws camera, place and solids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from icmbench.scenes import things_plain, things_shaped
from icmbench.scenes.camera import Camera
from icmbench.scenes.environment import Environment, make_environment
from icmbench.scenes.face_solid import Person, make_person
from icmbench.scenes.noise import Array, rotation
from icmbench.scenes.solids import Solid
from icmbench.scenes.things_plain import Shape

FACE_SHARE = 0.36  # of scenes; the face is their main object

_SHAPES: dict[str, Callable[[Generator], Shape]] = {
    "ball": things_plain.ball,
    "yarn": things_plain.yarn,
    "crate": things_plain.crate,
    "basket": things_plain.basket,
    "mug": things_shaped.mug,
    "duck": things_shaped.duck,
    "car": things_shaped.car,
}


@dataclass
class Layout:
    """Everything that the renderer needs."""

    camera: Camera
    place: Environment
    solids: list[Solid] = field(default_factory=list)
    person: Person | None = None


@dataclass
class _Spot:
    """Image disc that a placed thing takes up."""

    x: float
    y: float
    radius: float


def _solid(name: str, shape: Shape, position: Array, turn: Array, size: float) -> Solid:
    return Solid(name, shape.distance, shape.paint, shape.centre, shape.radius,
                 position.astype(np.float32), turn, size)  # fmt: skip


def _pose(rng: Generator, name: str, shape: Shape, viewing: float) -> tuple[Array, float]:
    """Rotation and how far the local origin lies above the ground, in local units."""
    yaw = rotation(1, float(rng.uniform(-np.pi, np.pi)))
    if name == "mug":
        # Towards the sides, where the handle shows.
        yaw = rotation(1, float(rng.choice([0, np.pi]) + rng.uniform(-0.9, 0.9)))
        if rng.random() < 0.2:
            lying = rotation(1, float(rng.uniform(-0.8, 0.8))) @ rotation(0, -np.pi / 2)
            return (lying @ rotation(1, np.pi / 2 * rng.choice([0.55, 1.45]))).astype(
                np.float32), shape.radius - 0.42  # fmt: skip
    if name in ("duck", "car"):
        # Mostly viewed from the front, where they are easiest to recognise; +z local is the front.
        yaw = rotation(1, float(np.pi + viewing + rng.normal(0, 0.95)))
    return yaw, 0.0


def _spot(rng: Generator, camera: Camera, place: Environment, taken: list[_Spot], size: float,
          rows: tuple[float, float]) -> tuple[Array, float] | None:  # fmt: skip
    """A free place on the ground and the world length of `size` pixels there."""
    for _ in range(30):
        x = float(rng.uniform(0.06, 0.94) * camera.width)
        y = float(rng.uniform(*rows) * camera.height)
        point = camera.ground(x, y)
        if point is None or point[2] > place.distance - 0.5:
            continue
        new = _Spot(x, y - 0.4 * size, 0.5 * size)
        gaps = [np.hypot(new.x - s.x, new.y - s.y) / (new.radius + s.radius) for s in taken]
        if all(gap > rng.uniform(0.5, 1.05) for gap in gaps):
            taken.append(new)
            return point, size * camera.depth(point) / camera.focal
    return None


def _place_things(rng: Generator, layout: Layout, count: int, sizes: tuple[float, float],
                  rows: tuple[float, float], taken: list[_Spot]) -> None:  # fmt: skip
    camera = layout.camera
    names = list(_SHAPES)
    short = min(camera.width, camera.height)
    for number in range(count):
        name = names[rng.integers(len(names))]
        shape = _SHAPES[name](rng)
        relative = rng.uniform(*sizes) * (1.15 if number == 0 else 0.9)
        spot = _spot(rng, camera, layout.place, taken, relative * short, rows)
        if spot is None:
            continue
        point, size = spot
        size /= 2 * min(shape.radius, 0.75)
        turn, lift = _pose(rng, name, shape, float(np.arctan2(point[0], point[2])))
        point[1] = lift * size
        layout.solids.append(_solid(name, shape, point, turn, size))


def make_layout(rng: Generator, width: int, height: int) -> Layout:
    """Draw a scene; sizes are relative to the image, so it fits any width and height."""
    portrait = rng.random() < FACE_SHARE
    focal = float(max(width, height) * rng.uniform(1.25, 1.7))
    pitch = float(rng.uniform(0.07, 0.2) if portrait else rng.uniform(0.12, 0.5))
    camera = Camera(width, height, focal, pitch)
    place = make_environment(rng, camera, 1.1 if portrait else 2.0)
    layout = Layout(camera, place)
    stretch = max(width, height) / min(width, height)
    if portrait:
        layout.person = make_person(rng, camera)
        layout.solids.extend(layout.person.solids)
        centre, radius = layout.person.centre, layout.person.radius
        taken = [_Spot(centre[0], centre[1], 1.05 * radius),
                 _Spot(centre[0], centre[1] + 2.2 * radius, 1.5 * radius)]  # fmt: skip
        count = int(rng.integers(1, 4) * min(stretch, 3))
        _place_things(rng, layout, count, (0.14, 0.24), (0.45, 0.9), taken)
    else:
        count = int(rng.integers(3, 8) * min(stretch, 3))
        _place_things(rng, layout, count, (0.18, 0.38), (0.35, 0.97), [])
    return layout
