"""Draws the image pairs of this folder: procedural pictures and damaged copies of them.

The tests read the stored PNG files and never run this: JPEG and blur differ between versions of
Pillow and scipy, and the stored reference values belong to the stored pixels. Run it only to make
a new set, and then make the values of `ssimulacra2.json` anew with the `ssimulacra2` tool of
libjxl (Debian package libjxl-devtools >= 0.11):

    python tests/data/metrics/make_pairs.py
    ssimulacra2 scene.png scene_jpeg30.png
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

HERE = Path(__file__).parent


def scene(height: int, width: int, seed: int) -> np.ndarray:
    """A picture with what codecs find hard: edges at many angles, texture, gradients, text-like
    strokes and saturated colour. uint8 (height, width, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    picture = np.stack([60 + 0.6 * x, 90 + 0.4 * y, 170 - 0.35 * (x + y) / 2], axis=2)
    for _ in range(9):
        centre = rng.uniform((0, 0), (height, width))
        radius = rng.uniform(10, 38)
        inside = np.hypot(y - centre[0], x - centre[1]) < radius
        picture[inside] = rng.uniform(20, 235, 3)
    angle = rng.uniform(0.3, 1.2)
    stripes = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 0.9) > 0
    area = (x > 0.62 * width) & (y < 0.45 * height)
    picture[area & stripes] *= 0.35
    grain = gaussian_filter(rng.standard_normal((height, width)), 1.0)
    textured = (y > 0.6 * height) & (x < 0.6 * width)
    picture[textured] += 90 * grain[textured][:, None]
    for row in range(int(0.66 * height), int(0.95 * height), 9):
        start = int(0.66 * width)
        strokes = rng.random(width - start - 4) < 0.5
        picture[row : row + 5, start : width - 4][:, strokes] = 15
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=2)
    return np.asarray(Image.open(buffer).convert("RGB"))


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    blurred = gaussian_filter(image.astype(np.float64), (sigma, sigma, 0))
    return np.rint(blurred).astype(np.uint8)


def noise(image: np.ndarray, seed: int) -> np.ndarray:
    """Sparse coloured noise: it compresses better than Gaussian noise and is as hard to judge."""
    rng = np.random.default_rng(seed)
    hit = rng.random(image.shape) < 0.06
    change = rng.choice([-30, -15, 15, 30], image.shape)
    return np.clip(image.astype(int) + hit * change, 0, 255).astype(np.uint8)


def contrast(image: np.ndarray) -> np.ndarray:
    return np.rint(128 + 0.75 * (image.astype(np.float64) - 128)).astype(np.uint8)


def tint(image: np.ndarray) -> np.ndarray:
    """A colour cast: what luma-only metrics hardly see."""
    cast = image.astype(np.float64) * [1.06, 0.98, 0.90] + [4, 0, -3]
    return np.clip(np.rint(cast), 0, 255).astype(np.uint8)


def main() -> None:
    even, odd = scene(176, 208, 1), scene(193, 165, 2)
    images = {
        "scene": even,
        "scene_jpeg75": jpeg(even, 75),
        "scene_jpeg30": jpeg(even, 30),
        "scene_jpeg8": jpeg(even, 8),
        "scene_blur": blur(even, 1.3),
        "scene_noise": noise(even, 3),
        "scene_contrast": contrast(even),
        "scene_tint": tint(even),
        "odd": odd,
        "odd_jpeg15": jpeg(odd, 15),
    }
    for name, image in images.items():
        Image.fromarray(image).save(HERE / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
