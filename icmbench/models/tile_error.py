"""Difference between a network's results for tiles and for the whole image.

Large images are encoded and decoded in overlapping tiles (`icmbench.models.latent`). A network
whose values depend on their surroundings alone gives nearly the same in a tile. One that normalises
over the whole input, or attends to it, does not; how much that is, is measured here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from icmbench.models.latent import OVERLAP, SCALE, TILE, latent_image, latent_shape, scaled_latent
from icmbench.models.latent_autoencoder import LatentAutoencoder

WHOLE_IMAGE: Final = 1 << 30  # cells: no image is cut
LARGEST: Final = 1024  # pixels a side of what is measured: whole, it is decoded without tiles
SMALLEST: Final = 3 * OVERLAP  # cells of the longer side of an image that is measured
# Bounds within which tiles agree with the whole: an eighth of the finest step of a palette entry,
# and half of the rounding error of 8 bits.
LATENT_BOUND: Final = 1 / 32
IMAGE_BOUND: Final = 0.5


@dataclass(frozen=True)
class TileError:
    """Root mean squares over images, each cut into two tiles along its longer side, or more.

    Attributes:
        images: number of images; 0: none was large enough, and the errors are 0.
        latent: of the difference of latents, in standard deviations.
        image: of the difference of decoded images, in 8-bit code values.
        largest: difference of a code value.
    """

    images: int
    latent: float
    image: float
    largest: int

    @property
    def agrees(self) -> bool:
        """Both errors are within their bounds."""
        return self.latent <= LATENT_BOUND and self.image <= IMAGE_BOUND

    def values(self) -> dict[str, Any]:
        """Plain values for metadata, the bounds among them."""
        bounds = {"latent_bound": LATENT_BOUND, "image_bound": IMAGE_BOUND}
        return {**asdict(self), **bounds, "agrees": self.agrees}


def _middle(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    top, left = (max(0, (side - LARGEST) // 2) for side in image.shape[:2])
    return image[top : top + LARGEST, left : left + LARGEST]


def tile_error(model: LatentAutoencoder, images: Iterable[NDArray[np.uint8]]) -> TileError:
    """Measure the error over images uint8 (H, W, 3).

    Of a larger image its middle of `LARGEST` pixels a side is taken. A tile is as large as it is
    for large images where that is large enough, else smaller.
    """
    count, cells, pixels, largest = 0, 0, 0, 0
    latents = decoded = 0.0
    for given in images:
        image = _middle(given)
        size = image.shape[0], image.shape[1]
        longer = max(latent_shape(*size))
        if longer < SMALLEST:
            continue
        side = min(TILE, -(-(longer + OVERLAP) // 2))
        statistics = model.mean, model.std
        parts = [
            scaled_latent(model.network, image, *statistics, model.device, whole=whole, side=side)
            for whole in (WHOLE_IMAGE, 0)
        ]
        latents += float(np.sum(((parts[0] - parts[1]) / SCALE) ** 2, dtype=np.float64))
        values = parts[0] / np.float32(SCALE)
        shown = [
            latent_image(
                model.network, values, *statistics, size, model.device, whole=whole, side=side
            ).astype(np.int64)
            for whole in (WHOLE_IMAGE, 0)
        ]
        gap = shown[0] - shown[1]
        decoded += float((gap**2).sum())
        largest = max(largest, int(np.abs(gap).max()))
        count, cells, pixels = count + 1, cells + values.size, pixels + gap.size
    return TileError(
        count,
        float(f"{math.sqrt(latents / max(cells, 1)):.4g}"),
        float(f"{math.sqrt(decoded / max(pixels, 1)):.4g}"),
        largest,
    )
