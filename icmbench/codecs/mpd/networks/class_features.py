"""Clustering features of the image itself, from a network that knows classes (guide `lite`).

EfficientNet-Lite0's maps at 1/8, 1/16 and 1/32 of the size, brought to the cells of the latent::

    image -> maps -> cells (h, w, 40 / 112 / 320) -> principal components -> points (h, w, d)

Only the encoder needs them: a clustering feature may be any function of the original. Components
are those of the image, so nothing is trained, and nothing depends on the latent. The network's
weights are published ones, of an installed package (`icmbench.classifier.lite0_weights`).
"""

from __future__ import annotations

import functools
import math
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from icmbench.classifier.efficientnet_lite import SHRINK, EfficientNetLite0, load_lite0
from icmbench.models.latent import CELL, LIMIT

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]

CLASSES: Final = "lite"  # the guide's name
LEVELS: Final = (2, 3, 4)  # of `EfficientNetLite0.stages`: 1/8, 1/16, 1/32 of the size
DIMS: Final = (6, 8, 8)  # components of a level
# Components are divided by their variance to this power: with 0 the first one alone would count.
FLATTENED: Final = 0.25


@functools.cache
def class_network(device: str) -> EfficientNetLite0:
    """The network on a device, once per process; ModelError where its package is missing."""
    return load_lite0().to(device)


def network_input(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels (n, 3, h, w), 0 to 255, as the network takes them, sides continued to whole cells."""
    height, width = pixels.shape[2:]
    padding = (0, -width % SHRINK, 0, -height % SHRINK)
    return F.pad((pixels - 127) / 128, padding, "replicate")


def class_points(image: Image, latent: NDArray[np.int16], device: str = "cpu") -> NDArray[np.int16]:
    """Features int16 (h, w, d) of an image uint8 (H, W, 3) of h x w cells, folded where it is thin.

    Every level has a third of the variance, all together that of `latent` (h, w, C): those of a
    flat image are 0.

    Raises ModelError where the network's package is missing.
    """
    height, width = latent.shape[:2]
    flat = latent.reshape(-1, latent.shape[2]).astype(np.float64)
    total = float(flat.var(axis=0).sum())
    pixels = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32)).to(device)
    network = class_network(device)  # loaded outside inference mode: `perception` derives by it
    with torch.inference_mode():
        maps = network.stages(network_input(pixels))
        cells = [_at_cells(maps[level], height, width) for level in LEVELS]
    parts = [
        components(values, dims, total / len(LEVELS))
        for values, dims in zip(cells, DIMS, strict=True)
    ]
    points = np.clip(np.rint(np.concatenate(parts, axis=1)), -LIMIT, LIMIT)
    return points.astype(np.int16).reshape(height, width, -1)


def _at_cells(level: torch.Tensor, height: int, width: int) -> Floats:
    """A map (1, C, y, x) at every cell, (h w, C), bilinear."""
    per_side = SHRINK // CELL
    size = [math.ceil(side / per_side) * per_side for side in (height, width)]
    grown = F.interpolate(level, size=size, mode="bilinear", align_corners=False)
    values = grown[0, :, :height, :width].permute(1, 2, 0).reshape(height * width, -1)
    return np.asarray(values.double().cpu().numpy(), np.float64)


def components(values: Floats, dims: int, variance: float) -> Floats:
    """The leading principal components (n, dims) of rows (n, C), of that variance in all.

    They are divided by their variance to the power `FLATTENED`. Rows that are all alike give 0.
    """
    centred = values - values.mean(axis=0)
    spread, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    spread, vectors = spread[::-1][:dims], vectors[:, ::-1][:, :dims]
    kept = spread > 1e-9 * max(float(spread[0]), 1e-12)
    scale = np.where(kept, np.where(kept, spread, 1.0) ** -FLATTENED, 0.0)
    total = float((spread * scale**2).sum())
    if total <= 0:
        return np.zeros((len(values), dims))
    # A vector's sign has no meaning; that of its largest value is made positive.
    peaks = np.take_along_axis(vectors, np.abs(vectors).argmax(0)[None], axis=0)
    projected: Floats = centred @ (vectors * np.sign(peaks))
    return projected * scale * math.sqrt(variance / total)
