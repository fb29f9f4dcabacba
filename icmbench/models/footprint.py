"""Memory of the feature maps of networks, computed from the headers of weight files.

Of published networks, and of the autoencoder of blocks. Weights come in addition. The counts of
maps were found by following the tensors that live at once through networks on the meta device;
attention is computed without its matrix.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from icmbench.models.grid import CELL, PUBLISHED_TILE
from icmbench.models.headers import read_header

BYTES: Final = 4  # float32
# Maps of the autoencoder's width at full resolution, alive at once in its decoder.
AUTOENCODER_MAPS: Final = 3.1
# The same of a stage of the autoencoder of blocks, and values of a pixel besides.
BLOCK_MAPS: Final = 4
BLOCK_VALUES: Final = 3.5
# The same of a denoising and a control network, in maps of the first level's width at 1/8.
PRIOR_MAPS: Final = 40.2
GUIDED: Final = 2  # evaluations of an image at once: with and without text


def feature_maps_mb(files: Iterable[str | Path], megapixels: float, batch: int = 1) -> float:
    """Megabytes that networks whose size is known take for images; 0 without any in the files.

    Args:
        files: weight files of model folders.
        megapixels: of an image, in 10^6 pixels.
        batch: images that are sampled together.
    """
    found = [0.0]
    for path in map(Path, files):
        if path.name == "autoencoder.safetensors" and (header := _header(path)).get("layout"):
            tile = (PUBLISHED_TILE * CELL) ** 2 / 1e6
            found.append(BYTES * _live(header["network"]) * min(megapixels, tile))
        if path.name == "prior.safetensors" and "kind" in (
            network := _header(path).get("network", {})
        ):
            maps = PRIOR_MAPS * network["unet"]["channels"][0] / CELL**2
            found.append(BYTES * maps * megapixels * GUIDED * batch)
    return max(found)


def _header(path: Path) -> dict[str, Any]:
    """Metadata of a weight file; none of an empty one, which the job that reads it refuses."""
    if not path.stat().st_size:
        return {}
    return read_header(path)


def _live(network: Mapping[str, Any]) -> float:
    """Values of an autoencoder's maps that live at once, per pixel of the image."""
    if "blocks" in network:  # stages at 1/8, 1/4 and 1/2; the encoder's first one is at 1/4
        decoder = (w / (CELL >> stage) ** 2 for stage, w in enumerate(network["decoder"]))
        widest: float = max(*decoder, 4 * network["encoder"][0] / CELL**2)
        return BLOCK_MAPS * widest + BLOCK_VALUES
    if "block_out_channels" in network:  # they narrow after the last enlargement alone
        return AUTOENCODER_MAPS * int(network["block_out_channels"][1])
    width = network.get("width") or network["decoder_block_out_channels"][-1]
    return AUTOENCODER_MAPS * int(width)
