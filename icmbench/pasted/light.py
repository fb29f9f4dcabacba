"""Light on a flat sheet: level, colour, a slope across it, a glare; and the sRGB transfer curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

#: float32 at run time; numpy's type stubs infer float64 for most operations.
Canvas = NDArray[Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Light:
    """Light that falls on a sheet.

    Attributes:
        colour: linear gain of red, green, blue.
        slope: relative change of the gain along x and y, per 100 pixels of the image.
        origin: x, y in the image where the gain is `colour`.
        glare: brightness that a glossy sheet adds at its brightest place; 0: mat.
        spot: x, y of that place.
        spread: standard deviation of the glare in pixels.
    """

    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    slope: tuple[float, float] = (0.0, 0.0)
    origin: tuple[float, float] = (0.0, 0.0)
    glare: float = 0.0
    spot: tuple[float, float] = (0.0, 0.0)
    spread: float = 40.0

    def gain(self, x: Canvas, y: Canvas) -> Canvas:
        """Gain (H, W, 3) at pixels of coordinates (1, W) and (H, 1); at least a quarter."""
        rise = (x - self.origin[0]) * self.slope[0] + (y - self.origin[1]) * self.slope[1]
        level = np.clip(1 + rise / 100, 0.25, 2)
        return np.asarray(level[..., None] * np.array(self.colour), np.float32)

    def shine(self, x: Canvas, y: Canvas) -> Canvas:
        """Light (H, W, 1) that is added at pixels of coordinates (1, W) and (H, 1)."""
        square = (x - self.spot[0]) ** 2 + (y - self.spot[1]) ** 2
        return np.asarray(
            self.glare * np.exp(-square / (2 * self.spread**2))[..., None], np.float32
        )


def light_near(
    canvas: Canvas, corners: Floats, rng: Generator, *, glare: float = 0.12, slope: float = 0.2
) -> Light:
    """Light that suits a photograph around corners: as bright as it is there, partly its colour.

    Args:
        canvas: float32 (H, W, 3), linear light.
        glare: largest glare; half of the sheets have none.
        slope: largest relative change of the gain per 100 pixels.
    """
    height, width = canvas.shape[:2]
    low = np.clip(corners.min(axis=0) - 12, 0, (width - 1, height - 1)).astype(int)
    high = np.clip(corners.max(axis=0) + 12, low + 1, (width, height)).astype(int)
    mean = canvas[low[1] : high[1], low[0] : high[0]].reshape(-1, 3).mean(axis=0)
    grey = float(mean.mean())
    tint = (mean / max(grey, 1e-3)) ** 0.25  # eyes and cameras adapt to most of a colour
    level = np.clip(0.45 + 0.8 * grey, 0.45, 0.95) * rng.uniform(0.85, 1.1)
    colour = np.clip(level * tint / tint.mean(), 0.3, 1.0)
    centre = corners.mean(axis=0)
    angle = rng.uniform(0, 2 * np.pi)
    rise = rng.uniform(0, slope) * np.array([np.cos(angle), np.sin(angle)])
    spot = centre + rng.uniform(-0.6, 0.6, 2) * (high - low)
    strength = rng.uniform(0, glare) * (rng.random() < 0.5)
    spread = rng.uniform(0.2, 0.5) * float(np.max(high - low))
    return Light(
        (float(colour[0]), float(colour[1]), float(colour[2])),
        (float(rise[0]), float(rise[1])),
        (float(centre[0]), float(centre[1])),
        float(strength),
        (float(spot[0]), float(spot[1])),
        spread,
    )


def to_linear(srgb: NDArray[np.uint8]) -> Canvas:
    """Linear light, float32 of 0 to 1, of sRGB values (IEC 61966-2-1)."""
    value = np.arange(256) / 255
    table = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.asarray(table.astype(np.float32)[srgb])


def to_srgb(linear: Canvas) -> Canvas:
    """The inverse of `to_linear`: float32 of 0 to 1; what is outside of that is clipped."""
    value = np.clip(linear, 0, 1)
    bent = 1.055 * np.maximum(value, 1e-6) ** np.float32(1 / 2.4) - 0.055
    return np.asarray(np.where(value <= 0.0031308, 12.92 * value, bent), np.float32)
