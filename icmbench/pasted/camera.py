"""The photograph behind the sheets, and the camera that takes all of it."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from icmbench.core.files import seed_from
from icmbench.pasted.light import Canvas, to_linear, to_srgb


def generator(seed: int, image_id: str) -> Generator:
    """Random numbers of one image, which follow from the seed and its id alone."""
    return np.random.Generator(np.random.PCG64(seed_from("pasted", seed, image_id)))


def backdrop(
    photograph: NDArray[np.uint8],
    width: int,
    height: int,
    rng: Generator,
    *,
    share: float = 0.6,
    defocus: float = 0.0,
) -> Canvas:
    """A random part of a photograph in the size of the image: float32 (height, width, 3), linear.

    Args:
        photograph: uint8 (H, W, 3), sRGB.
        share: smallest side of the part in sides of the largest part of this aspect ratio.
        defocus: standard deviation of a blur of it, in pixels.
    """
    tall, wide = photograph.shape[:2]
    step = min(wide / width, tall / height) * rng.uniform(share, 1)
    left = rng.uniform(0, wide - step * width)
    top = rng.uniform(0, tall - step * height)
    part = Image.fromarray(photograph).resize(
        (width, height),
        Image.Resampling.LANCZOS,
        box=(left, top, min(left + step * width, wide), min(top + step * height, tall)),
    )
    canvas = to_linear(np.asarray(part))
    if defocus < 0.05:
        return canvas
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(canvas, (defocus, defocus, 0), mode="nearest"), np.float32)


def develop(canvas: Canvas, rng: Generator, *, noise: float = 1.5) -> NDArray[np.uint8]:
    """The image of a camera: sRGB uint8 (H, W, 3), with noise of its sensor.

    Args:
        canvas: float32 (H, W, 3), linear light; what is above 1 is overexposed.
        noise: standard deviation of luminance in code values; that of a channel is a little more.
    """
    height, width = canvas.shape[:2]
    grain = rng.standard_normal((height, width, 1), dtype=np.float32)
    chroma = rng.standard_normal((height, width, 3), dtype=np.float32)
    image = 255 * to_srgb(canvas) + np.float32(noise) * (grain + np.float32(0.4) * chroma)
    return np.asarray(np.rint(np.clip(image, 0, 255)), np.uint8)
