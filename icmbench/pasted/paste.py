"""Pasting a flat sheet into a photograph: averaged over areas, with shadow, light and blur."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from icmbench.core.errors import DatasetError
from icmbench.pasted.geometry import homography, outline, sides
from icmbench.pasted.light import Canvas, Floats, Light, to_linear

SAMPLES: Final = 4  # along each side of a pixel

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels of the image


def paste(
    canvas: Canvas,
    sheet: NDArray[np.uint8],
    corners: Floats,
    light: Light | None = None,
    *,
    blur: float = 0.5,
    shadow: float = 0.4,
) -> Canvas:
    """A copy of `canvas` with a sheet in it.

    Args:
        canvas: float32 (H, W, 3), linear light.
        sheet: uint8 (h, w, 3) sRGB or (h, w, 4) with opacity.
        corners: of the sheet in the image (4, 2), in the order of `geometry.outline`.
        light: on the sheet; None: its colours as they are.
        blur: standard deviation of the camera's blur of the sheet, in pixels.
        shadow: share of light that the sheet takes from what lies behind its edges; 0: painted on.

    Raises DatasetError for corners of no area, or none inside of the image.
    """
    height, width = canvas.shape[:2]
    reach = 3 * blur + (0.06 * float(sides(corners).min()) if shadow else 0) + 2
    box = _box(corners, reach)
    left, top, right, bottom = box
    if left >= width or top >= height or right <= 0 or bottom <= 0:
        raise DatasetError(f"a sheet at {corners.tolist()} is outside of {width}x{height} pixels")
    layer = _blurred(_sampled(sheet, corners, box), blur)
    shade = _shade(layer[..., 3:], shadow, sides(corners).min())
    inside = (slice(max(-top, 0), height - top), slice(max(-left, 0), width - left))
    layer, shade = layer[inside], shade[inside]
    light = light or Light()
    y = np.arange(max(top, 0), min(bottom, height), dtype=np.float32)[:, None] + 0.5
    x = np.arange(max(left, 0), min(right, width), dtype=np.float32)[None] + 0.5
    lit = layer[..., :3] * light.gain(x, y) + layer[..., 3:] * light.shine(x, y)
    result = canvas.copy()
    window = result[max(top, 0) : bottom, max(left, 0) : right]
    window[...] = window * (1 - shade) * (1 - layer[..., 3:]) + lit
    return result


def _box(corners: Floats, reach: float) -> Box:
    """Pixels that a sheet, its blur and its shadow may change."""
    left, top = np.floor(corners.min(axis=0) - reach).astype(int)
    right, bottom = np.ceil(corners.max(axis=0) + reach).astype(int)
    return int(left), int(top), int(right), int(bottom)


def _sampled(sheet: NDArray[np.uint8], corners: Floats, box: Box) -> Canvas:
    """The sheet in the pixels of a box: float32 (H, W, 4), linear light times opacity, opacity."""
    opacity = sheet[..., 3:].astype(np.float32) / 255 if sheet.shape[2] == 4 else None
    colour = to_linear(sheet[..., :3])
    if opacity is None:
        opacity = np.ones((*sheet.shape[:2], 1), np.float32)
    planes = np.concatenate([colour * opacity, opacity], axis=2)
    size = sheet.shape[1], sheet.shape[0]
    # One sample may not skip pixels of the sheet: it is averaged to about their distance before.
    largest = float((sides(corners) / (size[0], size[1], size[0], size[1])).max())
    step = math.ceil(1 / (SAMPLES * largest))
    short = [-length % step for length in sheet.shape[:2]]
    planes = np.pad(planes, ((0, short[0]), (0, short[1]), (0, 0)))
    samples = (corners - (box[0], box[1])) * SAMPLES
    back = homography(samples, outline(size) / step)
    wide, tall = box[2] - box[0], box[3] - box[1]
    found = []
    for channel in range(4):
        plane = Image.fromarray(np.ascontiguousarray(planes[..., channel])).reduce(step)
        view = plane.transform(
            (wide * SAMPLES, tall * SAMPLES),
            Image.Transform.PERSPECTIVE,
            back.ravel()[:8].tolist(),
            Image.Resampling.BILINEAR,
        )
        found.append(np.asarray(view.reduce(SAMPLES)))
    return np.stack(found, axis=2)


def _blurred(layer: Canvas, sigma: float) -> Canvas:
    from scipy.ndimage import gaussian_filter

    if sigma < 0.05:
        return layer
    return np.asarray(gaussian_filter(layer, (sigma, sigma, 0), mode="constant"), np.float32)


def _shade(opacity: Canvas, strength: float, side: float) -> Canvas:
    """Shadow (H, W, 1) of a sheet that lies on something: below it, and to its right."""
    if not strength:
        return np.zeros_like(opacity)
    shift = max(1, round(0.012 * side))
    moved = np.zeros_like(opacity)
    moved[shift:, shift:] = opacity[:-shift, :-shift]
    return strength * _blurred(moved, max(0.8, 0.012 * side))
