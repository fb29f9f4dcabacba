"""Albedo texture of a face in its frontal plane: skin and features painted at the landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from icmbench.scenes.face_model import EXTENT
from icmbench.scenes.noise import Array, fractal, linear, lookup

_SKINS = ((0.96, 0.8, 0.71), (0.9, 0.71, 0.59), (0.8, 0.6, 0.46), (0.67, 0.47, 0.35),
          (0.5, 0.34, 0.25), (0.38, 0.25, 0.19))  # fmt: skip
_HAIRS = ((0.1, 0.08, 0.07), (0.25, 0.16, 0.1), (0.42, 0.28, 0.17), (0.78, 0.62, 0.38),
          (0.56, 0.25, 0.12), (0.62, 0.61, 0.6))  # fmt: skip
_IRISES = ((0.3, 0.18, 0.1), (0.22, 0.38, 0.6), (0.3, 0.45, 0.28), (0.45, 0.47, 0.5))


@dataclass(frozen=True)
class Complexion:
    """Linear-light colours of one person; `beard` and `freckles`: strengths, 0 without."""

    skin: Array
    hair: Array
    iris: Array
    lips: Array
    beard: float
    freckles: float


def make_complexion(rng: Generator) -> Complexion:
    """Draw skin, hair and eye colours; darker skins go with darker hair and eyes."""
    tone = int(rng.integers(len(_SKINS)))
    skin = linear(*_SKINS[tone]) * rng.uniform(0.88, 1.08)
    hair = linear(*_HAIRS[rng.integers(6 if tone < 3 else 2)]) * rng.uniform(0.8, 1.25)
    iris = linear(*_IRISES[rng.integers(4 if tone < 3 else 1)])
    tint = linear(*rng.uniform((0.68, 0.25, 0.24), (0.85, 0.42, 0.4)))
    lips = skin * 0.2 + tint * 0.6
    beard = float(rng.uniform(0.3, 0.95)) if rng.random() < 0.25 else 0.0
    freckles = float(rng.uniform(0.1, 0.4)) if tone < 2 and rng.random() < 0.4 else 0.0
    return Complexion(skin.astype(np.float32), hair.astype(np.float32), iris,
                      lips.astype(np.float32), beard, freckles)  # fmt: skip


def curve(points: Array, closed: bool) -> Array:
    """Catmull-Rom curve (m, 2) through points (n, 2), eight samples a segment."""
    if closed:
        padded = np.concatenate([points[-1:], points, points[:2]])
    else:
        padded = np.concatenate([2 * points[:1] - points[1:2], points,
                                 2 * points[-1:] - points[-2:-1]])  # fmt: skip
    t = np.linspace(0, 1, 8, endpoint=False, dtype=np.float32)[None, :, None]
    a, b, c, d = (padded[i : len(padded) - 3 + i, None] for i in range(4))
    smooth = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2
                    + (3 * b - a - 3 * c + d) * t**3)  # fmt: skip
    result: Array = smooth.reshape(-1, 2)
    return result if closed else np.concatenate([result, points[-1:]])


class _Canvas:
    """A square linear-light image of the frontal plane, |x|, |y| < EXTENT in head units.

    Head units: see `icmbench.scenes.face_model`.
    """

    def __init__(self, side: int, colour: Array) -> None:
        self.side = side
        self.rgb: Array = np.broadcast_to(colour, (side, side, 3)).astype(np.float32, copy=True)
        axis = (np.arange(side, dtype=np.float32) + 0.5) * (2 * EXTENT / side) - EXTENT
        self.x, self.y = axis[None], -axis[:, None]

    def _pixels(self, points: Array) -> Sequence[tuple[float, float]]:
        scale = self.side / EXTENT
        return [((float(x) + EXTENT) * scale, (EXTENT - float(y)) * scale) for x, y in points]

    def polygon(self, points: Array, soften: float = 0.0) -> Array:
        """Coverage (side, side) of a polygon; `soften`: sigma of a Gaussian blur in head units."""
        image = Image.new("L", (2 * self.side, 2 * self.side))
        ImageDraw.Draw(image).polygon(list(self._pixels(points)), fill=255)
        return self._finish(image, soften)

    def stroke(self, points: Array, width: float, soften: float = 0.0) -> Array:
        """Coverage (side, side) of a polyline; `width` and `soften` in head units."""
        image = Image.new("L", (2 * self.side, 2 * self.side))
        thick = max(1, round(width * self.side / EXTENT))
        ImageDraw.Draw(image).line(list(self._pixels(points)), fill=255, width=thick, joint="curve")
        return self._finish(image, soften)

    def _finish(self, image: Image.Image, soften: float) -> Array:
        sigma = soften * self.side / (2 * EXTENT)
        box = image.getbbox()
        cover = np.zeros((self.side, self.side), np.float32)
        if box is None:
            return cover
        pad = int(4 * sigma) + 2
        left, top = max(box[0] // 2 - pad, 0), max(box[1] // 2 - pad, 0)
        right, bottom = min(box[2] // 2 + pad, self.side), min(box[3] // 2 + pad, self.side)
        part = image.crop((2 * left, 2 * top, 2 * right, 2 * bottom)).reduce(2)
        drawn = np.asarray(part, np.float32) / 255
        window = gaussian_filter(drawn, sigma) if sigma > 0.3 else drawn
        cover[top:bottom, left:right] = window
        return cover

    def spot(self, x: float, y: float, sx: float, sy: float) -> Array:
        """Coverage (side, side) of a Gaussian spot of height 1."""
        across, down = ((self.x - x) / sx) ** 2, ((self.y - y) / sy) ** 2
        return np.exp(-across - down).astype(np.float32)

    def disc(self, x: float, y: float, radius: float) -> Array:
        """Coverage (side, side) of an antialiased disc."""
        gap = (radius - np.hypot(self.x - x, self.y - y)) * self.side / (2 * EXTENT)
        return np.asarray(np.clip(gap + 0.5, 0, 1).astype(np.float32))

    def lay(self, cover: Array, colour: Array) -> None:
        """Blend a colour, (3,) or (side, side, 3), into the image with a coverage mask."""
        rows = np.flatnonzero((cover > 0.003).any(axis=1))
        columns = np.flatnonzero((cover > 0.003).any(axis=0))
        if not rows.size:
            return
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        ink = colour if colour.ndim == 1 else colour[part]
        self.rgb[part] += (ink - self.rgb[part]) * cover[part][..., None]

    def noise(self, scale: float, beta: float, stretch: float = 1.0, slot: int = 0) -> Array:
        """Noise of zero mean and unit standard deviation over the plane, (side, side)."""
        x, y = np.broadcast_arrays(self.x * scale, self.y * scale)
        return lookup(fractal(slot, beta, stretch), x, y)


def _paint_skin(c: _Canvas, look: Complexion, points: Array) -> None:
    mottle = 1 + 0.045 * c.noise(120, 1.2) + 0.035 * c.noise(300, 0.3)
    c.rgb = c.rgb * mottle[..., None]
    red = look.skin * np.array([1.02, 0.72, 0.7], np.float32)
    for side in (-1, 1):
        c.lay(0.35 * c.spot(side * 0.52, -0.32, 0.26, 0.2), red)
    c.lay(0.3 * c.spot(0, float(points[30, 1]), 0.14, 0.1), red)
    if look.freckles:
        area = c.spot(0, -0.1, 0.75, 0.3)
        dots = np.clip(c.noise(260, 0.5, slot=1) - 1.1, 0, 1)
        c.lay(look.freckles * 2 * area * dots, look.skin * 0.45)
    if look.beard:
        mouth = points[48:60].mean(axis=0)
        low = 1 / (1 + np.exp((c.y + 0.62) * 14)) * (np.abs(c.x) < 2)
        stubble = np.clip(1.0 + 0.45 * c.noise(420, 0.2, slot=1), 0, 1.4)
        around = 1 - 0.95 * c.spot(0, float(mouth[1]), 0.3, 0.13)
        c.lay(np.clip(look.beard * low * around * stubble * 0.8, 0, 1), look.hair)


def _paint_eye(c: _Canvas, look: Complexion, eye: Array, gaze: tuple[float, float]
               ) -> None:  # fmt: skip
    middle = eye.mean(axis=0)
    height = float(eye[1:3, 1].mean() - eye[4:6, 1].mean())
    c.lay(0.35 * c.spot(middle[0], middle[1] + 0.05, 0.24, 0.11), look.skin * 0.45)
    opening = c.polygon(curve(eye, True))
    round_ = 0.75 + 0.25 * c.spot(float(middle[0]), float(middle[1]), 0.2, 0.1)
    c.lay(opening, linear(0.92, 0.9, 0.88) * round_[..., None])
    x, y = middle[0] + gaze[0], middle[1] + gaze[1] + 0.01
    size = 0.088
    iris = look.iris * (0.55 + 0.9 * np.clip(np.hypot(c.x - x, c.y - y) / size, 0, 1))[..., None]
    c.lay(opening * c.disc(x, y, size * 1.08), look.iris * 0.2)
    c.lay(opening * c.disc(x, y, size * 0.95), iris)
    c.lay(opening * c.disc(x, y, size * 0.45), linear(0.03, 0.03, 0.03))
    upper = curve(eye[0:4], False)
    c.lay(opening * 0.5 * c.stroke(upper, 0.05, 0.02), linear(0.1, 0.07, 0.06))
    c.lay(opening * c.disc(x + 0.03, y + 0.03, 0.022), linear(1, 1, 1))
    c.lay(0.92 * c.stroke(upper, 0.03, 0.004), look.hair * 0.2)
    lower = curve(eye[[3, 4, 5, 0]], False)
    c.lay(0.5 * c.stroke(lower, 0.014, 0.006), look.skin * np.array([0.4, 0.25, 0.22]))
    crease = upper + np.array([0, 0.03 + 0.25 * height], np.float32)
    c.lay(0.45 * c.stroke(crease, 0.014, 0.008), look.skin * 0.35)


def _paint_nose(c: _Canvas, look: Complexion, points: Array) -> None:
    for first, second in ((31, 32), (35, 34)):
        x, y = (points[first] * 0.35 + points[second] * 0.65) + (0, 0.012)
        c.lay(0.9 * np.clip(1.6 * c.spot(float(x), float(y), 0.05, 0.026), 0, 1), look.skin * 0.1)
        wing = np.array([points[first] + (0, 0.11), points[first] * (1.12, 1) + (0, 0.04),
                         points[first], points[second]], np.float32)  # fmt: skip
        c.lay(0.45 * c.stroke(curve(wing, False), 0.018, 0.012), look.skin * 0.3)
    c.lay(0.35 * c.stroke(curve(points[31:36], False), 0.02, 0.012), look.skin * 0.35)


def _paint_mouth(c: _Canvas, look: Complexion, points: Array) -> None:
    outer, inner = points[48:60], points[60:68]
    lips = c.polygon(curve(outer, True), 0.006)
    ridges = 1 + 0.14 * c.noise(90, 0.7, 6.0, 1).T
    upper_dark = 1 - 0.22 * (c.y > points[66, 1])
    c.lay(0.92 * lips, look.lips * (ridges * upper_dark)[..., None])
    c.lay(0.3 * c.stroke(outer[[4, 5, 6, 7, 8]][::-1], 0.01, 0.02), look.skin * 0.5)
    gape = float(points[62, 1] - points[66, 1])
    if gape > 0.07:
        opening = c.polygon(curve(inner, True))
        c.lay(opening, linear(0.22, 0.06, 0.06))
        teeth = opening * (c.y > points[62, 1] - 0.35 * gape - 0.02)
        gaps = 1 - 0.35 * (np.abs((c.x * 11) % 1 - 0.5) > 0.44)
        c.lay(teeth, linear(0.92, 0.9, 0.84) * np.broadcast_to(gaps, teeth.shape)[..., None])
        tongue = opening * c.spot(0, float(points[66, 1]), 0.17, 0.35 * gape)
        c.lay(0.8 * tongue, linear(0.62, 0.25, 0.24))
    c.lay(0.85 * c.stroke(curve(inner[[0, 1, 2, 3, 4]], False), 0.018, 0.004), look.lips * 0.15)
    c.lay(0.6 * c.stroke(curve(inner[[4, 5, 6, 7, 0]], False), 0.014, 0.004), look.lips * 0.2)
    c.lay(0.35 * c.spot(0, float(points[57, 1]) - 0.06, 0.2, 0.045), look.skin * 0.4)


def _paint_brows(c: _Canvas, look: Complexion, points: Array, rng: Generator) -> None:
    weight = float(rng.uniform(0.05, 0.1))
    for brow in (points[17:22], points[22:27]):
        # The landmarks lie on the centre line of the brow.
        cover = c.stroke(curve(brow, False), weight, 0.012)
        hairs = np.clip(0.95 + 0.4 * c.noise(200, 0.6, 3.0), 0.3, 1.0)
        c.lay(np.clip(cover * hairs * 1.05, 0, 1), look.hair * 0.55)


def paint_face(rng: Generator, look: Complexion, points: Array, side: int) -> Array:
    """Linear albedo (side, side, 3) of the frontal plane |x|, |y| < EXTENT, row 0 at the top."""
    canvas = _Canvas(side, look.skin)
    _paint_skin(canvas, look, points)
    gaze = (float(rng.uniform(-0.045, 0.045)), float(rng.uniform(-0.015, 0.02)))
    _paint_eye(canvas, look, points[36:42], gaze)
    _paint_eye(canvas, look, points[42:48], gaze)
    _paint_nose(canvas, look, points)
    _paint_mouth(canvas, look, points)
    _paint_brows(canvas, look, points, rng)
    return np.clip(canvas.rgb, 0.003, 1).astype(np.float32)
