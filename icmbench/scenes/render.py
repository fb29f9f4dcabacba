"""From a layout to pixels: visibility at 2 x 2 samples a pixel, shading, lens and sensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from icmbench.scenes.camera import Camera
from icmbench.scenes.environment import Environment, Trace, trace
from icmbench.scenes.layout import Layout
from icmbench.scenes.noise import Array, linear, smoothstep
from icmbench.scenes.solids import Solid, ball_span, march, normals, occlusion

SCALE = 2  # samples per pixel side
_BUNDLE = 4  # samples per side of a block whose rays are traced as one at first
_STRIP = 1 << 19  # samples shaded at once, which bounds the memory of large images
_EYE = np.array([0, 1, 0], np.float32)


@dataclass
class Buffers:
    """Per-pixel results: linear colour (H, W, 3), depth, owner (solid number or -1), stuff."""

    colour: Array
    depth: Array
    owner: NDArray[np.int16]
    stuff: NDArray[np.uint8]
    seen: NDArray[np.int64]  # samples of each solid that are visible
    covered: NDArray[np.int64]  # samples of each solid before occlusion


def render(layout: Layout) -> Buffers:
    """Shade a layout strip by strip; a sample's value does not depend on the strips."""
    width, height = layout.camera.width, layout.camera.height
    count = len(layout.solids)
    out = Buffers(
        np.empty((height, width, 3), np.float32), np.empty((height, width), np.float32),
        np.empty((height, width), np.int16), np.empty((height, width), np.uint8),
        np.zeros(count, np.int64), np.zeros(count, np.int64),
    )  # fmt: skip
    rows = max(1, _STRIP // (width * SCALE * SCALE))
    for top in range(0, height, rows):
        _render_rows(layout, top, min(top + rows, height), out)
    return out


def _render_rows(layout: Layout, top: int, bottom: int, out: Buffers) -> None:
    camera, width, rows = layout.camera, layout.camera.width, bottom - top
    xs = (np.arange(width * SCALE, dtype=np.float32) + 0.5) / SCALE
    ys = (np.arange(rows * SCALE, dtype=np.float32) + 0.5) / SCALE + top
    x, y = np.meshgrid(xs, ys)
    ray = camera.rays(x.ravel(), y.ravel())
    back = trace(layout.place, camera, ray, SCALE)
    depth = back.depth.copy()
    owner = np.full(depth.shape, -1, np.int16)
    for number, solid in enumerate(layout.solids):
        _visit(solid, number, layout, (top, bottom), ray, depth, owner, out)
    colour = _shade_back(layout, back, ray, owner, (rows, width))
    for number, solid in enumerate(layout.solids):
        index = np.flatnonzero(owner == number)
        out.seen[number] += index.size
        if index.size:
            points = _EYE[:, None] + ray[:, index] * depth[index]
            colour[index] = _shade_solid(layout, solid, points, ray[:, index])
    strip = slice(top, bottom)
    shape = (rows, SCALE, width, SCALE)
    out.colour[strip] = colour.reshape(*shape, 3).mean(axis=(1, 3))
    out.depth[strip] = depth.reshape(shape).mean(axis=(1, 3))
    out.owner[strip] = majority(owner.reshape(shape))
    out.stuff[strip] = majority(back.label.reshape(shape))


def majority(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Most frequent of the 2 x 2 samples (H, 2, W, 2) of each pixel; ties to the smaller value."""
    four = np.stack([values[:, 0, :, 0], values[:, 0, :, 1],
                     values[:, 1, :, 0], values[:, 1, :, 1]])  # fmt: skip
    four.sort(axis=0)
    pair_first, pair_middle, pair_last = (four[i] == four[i + 1] for i in range(3))
    result = np.where(pair_last & ~pair_middle & ~pair_first, four[2], four[0])
    return np.asarray(np.where(pair_middle, four[1], result))


def _visit(solid: Solid, number: int, layout: Layout, span: tuple[int, int], ray: Array,
           depth: Array, owner: NDArray[np.int16], out: Buffers) -> None:  # fmt: skip
    """Trace one solid where its bounding ball projects and keep it where it is nearest."""
    camera = layout.camera
    centre, radius = solid.ball()
    middle = camera.project(centre[:, None])[:, 0]
    reach = 1.3 * camera.focal * radius / max(camera.depth(centre) - radius, 0.05) + 2
    low = np.maximum(np.floor((middle - reach) * SCALE), 0).astype(int)
    high = np.ceil((middle + reach) * SCALE).astype(int)
    row0, row1 = max(low[1], span[0] * SCALE), min(high[1], span[1] * SCALE)
    wide = camera.width * SCALE
    if row0 >= row1 or low[0] >= min(high[0], wide):
        return
    row0, column0 = row0 // _BUNDLE * _BUNDLE, low[0] // _BUNDLE * _BUNDLE
    index, near = _bundles(solid, camera, (row0, row1), (column0, min(high[0], wide)))
    index -= span[0] * SCALE * wide
    inside = (index >= 0) & (index < ray.shape[1])
    index, near = index[inside], near[inside]
    if not index.size:
        return
    far = ball_span(_EYE[:, None], ray[:, index], centre, radius)[1]
    size = np.float32(solid.size)
    local = solid.rotation.T @ ray[:, index]
    # Start close to the surface: keeps float32 distances small and precise.
    start = solid.to_local(_EYE[:, None]) + local * (near / size)
    tolerance = 0.4 * camera.depth(centre) / (camera.focal * SCALE) / solid.size
    reached = march(solid.distance, start, local, np.zeros_like(near), (far - near) / size,
                    tolerance)  # fmt: skip
    hit = np.isfinite(reached)
    index, distance = index[hit], near[hit] + reached[hit] * size
    above = 1 + ray[1, index] * distance > -0.002
    index, distance = index[above], distance[above]
    out.covered[number] += index.size
    nearer = distance < depth[index]
    depth[index[nearer]] = distance[nearer]
    owner[index[nearer]] = number


def _bundles(solid: Solid, camera: Camera, rows: tuple[int, int], columns: tuple[int, int]
             ) -> tuple[NDArray[np.int64], Array]:  # fmt: skip
    """Samples that may meet a solid and where to start on each ray, from one ray per 4 x 4 block.

    Blocks lie on a grid of the whole image, so that strips do not change the result.
    """
    y, x = np.mgrid[rows[0] : rows[1] : _BUNDLE, columns[0] : columns[1] : _BUNDLE]
    middle = np.float32(_BUNDLE / 2)
    ray = camera.rays((x.ravel() + middle) / SCALE, (y.ravel() + middle) / SCALE)
    centre, radius = solid.ball()
    spread = np.float32(0.75 * _BUNDLE / (camera.focal * SCALE))
    near, far = ball_span(_EYE[:, None], ray, centre, radius * 1.02 + 2 * float(spread))
    size = np.float32(solid.size)
    local = solid.rotation.T @ ray
    start = solid.to_local(_EYE[:, None]) + local * (near / size)
    reached = march(solid.distance, start, local, np.zeros_like(near), (far - near) / size,
                    spread * np.maximum(near, 0.1) * np.float32(1.3) / size)  # fmt: skip
    hit = np.isfinite(reached)
    begin = np.maximum(near[hit] + reached[hit] * size * np.float32(0.99) - spread, 0)
    step = np.arange(_BUNDLE)
    y_all = y.ravel()[hit][:, None, None] + step[None, :, None]
    x_all = x.ravel()[hit][:, None, None] + step[None, None, :]
    wide = camera.width * SCALE
    index = np.where(x_all < wide, y_all * wide + x_all, -1 << 40).ravel()
    return index.astype(np.int64), np.repeat(begin, _BUNDLE * _BUNDLE).astype(np.float32)


def _shadow(layout: Layout, points: Array, skip: Solid | None = None) -> Array:
    """Direct light (n,) in 0..1 at world points, dimmed by every solid on the way."""
    lit = np.ones(points.shape[1], np.float32)
    light, softness = layout.place.light, layout.place.softness
    direction = np.broadcast_to(light[:, None], points.shape)
    for solid in layout.solids:
        centre, radius = solid.ball()
        near, far = ball_span(points, direction, centre, radius * (1 + 2.5 * softness))
        index = np.flatnonzero((near < far) & (far > 0) & (lit > 0))
        if not index.size:
            continue
        local = solid.to_local(points[:, index])
        start = near[index] / np.float32(solid.size)
        if solid is skip:
            start = np.maximum(start, np.float32(0.06))
        lit[index] *= occlusion(solid.distance, local, solid.rotation.T @ light, start,
                                far[index] / np.float32(solid.size), softness)  # fmt: skip
    return lit


def _contact(layout: Layout, points: Array, skip: Solid | None = None) -> Array:
    """Ambient light (n,) in 0..1 left by solids close to the points."""
    open_sky = np.ones(points.shape[1], np.float32)
    for solid in layout.solids:
        if solid is skip:
            continue
        centre, radius = solid.ball()
        index = np.flatnonzero(((points - centre[:, None]) ** 2).sum(axis=0) < (1.7 * radius) ** 2)
        if index.size:
            gap = np.maximum(solid.distance(solid.to_local(points[:, index])), 0)
            open_sky[index] *= 1 - 0.7 * np.exp(-gap / np.float32(0.16))
    return open_sky


def _shade_back(layout: Layout, back: Trace, ray: Array, owner: NDArray[np.int16],
                shape: tuple[int, int]) -> Array:  # fmt: skip
    """Light ground and backdrop; shadows are soft, so one sample per pixel is enough."""
    rows, width = shape
    place, points_per = layout.place, SCALE * width
    corner = np.arange(rows)[:, None] * SCALE * points_per + np.arange(width)[None] * SCALE
    corner = corner.ravel()
    bare = owner.reshape(rows, SCALE, width, SCALE).min(axis=(1, 3)).ravel() < 0
    need = bare & (back.lambert[corner] > 0)
    chosen = corner[need]
    points = _EYE[:, None] + ray[:, chosen] * back.depth[chosen]
    lit, contact = np.ones(corner.size, np.float32), np.ones(corner.size, np.float32)
    lit[need] = _shadow(layout, points)
    contact[need] = _contact(layout, points)

    def spread(values: Array) -> Array:
        wide = np.repeat(values.reshape(rows, 1, width, 1), SCALE, axis=1)
        return np.broadcast_to(wide, (rows, SCALE, width, SCALE)).reshape(-1)

    direct = (back.lambert * spread(lit))[:, None] * place.sun
    ambient = spread(contact)[:, None] * place.ambient * np.float32(0.72)
    return back.albedo * (direct + ambient) + back.glow


def _reflection(place: Environment, n: Array, ray: Array, gloss: Array | float) -> Array:
    """Highlight and sky mirrored by a glossy surface (n, 3)."""
    facing = -(n * ray).sum(axis=0)
    bounce = ray + 2 * facing * n
    fresnel = 0.04 + 0.55 * np.asarray(gloss) * (1 - np.clip(facing, 0, 1)) ** 4
    sharp = 12 + 90 * np.asarray(gloss) ** 2
    towards = np.clip((bounce * place.light[:, None]).sum(axis=0), 0, 1)
    spark = np.asarray(gloss) * towards**sharp * 0.75
    window = smoothstep(0.05, 0.6, bounce[1]) * fresnel * gloss
    sky = np.float32(0.6) * (place.ambient + place.sky[1])
    result: Array = spark[:, None] * place.sun + window[:, None] * sky
    return result.astype(np.float32)


def _shade_solid(layout: Layout, solid: Solid, points: Array, ray: Array) -> Array:
    place = layout.place
    local = solid.to_local(points)
    step = max(0.002, 0.6 * layout.camera.depth(solid.ball()[0])
               / (layout.camera.focal * SCALE) / solid.size)  # fmt: skip
    local_normal = normals(solid.distance, local, step)
    n = solid.rotation @ local_normal
    albedo, gloss = solid.paint(local, local_normal)
    cosine = (n * place.light[:, None]).sum(axis=0)
    lit = np.clip(cosine, 0, 1)
    facing = lit > 0
    # Leaving along the normal keeps a surface from shadowing itself by rounding.
    lifted = points[:, facing] + n[:, facing] * np.float32(0.02 * solid.size)
    lit[facing] *= _shadow(layout, lifted, solid)
    height = points[1] / np.float32(solid.size)
    open_sky = (0.5 + 0.5 * smoothstep(0, 0.45, height)) * _contact(layout, points, solid)
    up = 0.62 + 0.38 * n[1]
    ground = np.clip(0.55 - 0.45 * n[1], 0, 1) * 0.3 * open_sky
    bounce = place.sun * place.light[1] * linear(0.62, 0.58, 0.5)
    diffuse = lit[:, None] * place.sun + (up * open_sky)[:, None] * place.ambient * np.float32(0.8)
    diffuse = diffuse + ground[:, None] * bounce
    return np.asarray(albedo * diffuse + _reflection(place, n, ray, gloss) * open_sky[:, None])


def develop(buffers: Buffers, focus: float, rng: Generator) -> NDArray[np.uint8]:
    """Lens blur behind the focus, vignette, tone curve, sensor noise; sRGB uint8 (H, W, 3)."""
    height, width = buffers.depth.shape
    short = min(height, width)
    colour = _defocus(buffers, focus, rng.uniform(0.0, 0.004) * short)
    y, x = np.ogrid[:height, :width]
    off = ((x - width / 2) ** 2 + (y - height / 2) ** 2) / (width**2 + height**2)
    colour = colour * (1 - rng.uniform(0.2, 0.9) * off)[..., None].astype(np.float32)
    level = float(np.mean(colour))
    colour = colour * np.float32(np.clip(0.25 / level, 0.7, 1.6))
    # A soft shoulder: linear below 0.6, approaching 1 above.
    over = np.maximum(colour - 0.6, 0)
    colour = np.minimum(colour, 0.6) + 0.4 * over / (0.4 + over)
    encoded = np.where(colour <= 0.0031308, 12.92 * colour,
                       1.055 * np.maximum(colour, 1e-6) ** (1 / 2.4) - 0.055)  # fmt: skip
    noise = rng.standard_normal((height, width, 3), dtype=np.float32)
    noise = noise * 0.5 + noise.mean(axis=2, keepdims=True) * 0.9
    sigma = rng.uniform(0.8, 2.2) / 255
    image = np.clip(encoded + noise * np.float32(sigma), 0, 1)
    return np.asarray(np.rint(image * 255), np.uint8)


def _defocus(buffers: Buffers, focus: float, strength: float) -> Array:
    """Blur by distance behind the focus; sharp pixels do not bleed into the blur."""
    blur = np.clip(1 - focus / buffers.depth, 0, 1)
    if strength < 0.15 or not (blur > 0.05).any():
        return buffers.colour
    weight = np.clip((blur - 0.05) * 5, 0, 1).astype(np.float32)
    soft = gaussian_filter(weight, strength)
    mixed = np.empty_like(buffers.colour)
    for channel in range(3):
        plane = gaussian_filter(buffers.colour[..., channel] * weight, strength)
        mixed[..., channel] = plane / np.maximum(soft, 1e-3)
    result: Array = buffers.colour * (1 - weight[..., None]) + mixed * weight[..., None]
    return result
