"""Images to integer latents and back, in tiles where an image is large (DESIGN 5a)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from icmbench.bitstream.folding import coded_size, fold, unfold
from icmbench.models import grid

SCALE: Final = 8192  # latent units of one standard deviation: 32 int8 steps of 256
CELL: Final = grid.CELL
LIMIT: Final = 32767  # of an integer latent's magnitude: 4 standard deviations
TILE: Final = 96  # cells of a tile's side at most: 768 pixels
WHOLE: Final = TILE**2  # cells up to which an image is one tile: 0.59 MP
OVERLAP: Final = 8  # cells in which neighbouring tiles fade into each other
LATENT_WHOLE: Final = 16384  # of the reverse process, whose memory per cell is far smaller
LATENT_TILE: Final = 128

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]


def latent_shape(height: int, width: int) -> tuple[int, int]:
    """Height and width of the latent of an image, which is folded where it is thin."""
    height, width = coded_size(height, width, CELL)
    return -(-height // CELL), -(-width // CELL)


def tile_side(metadata: Mapping[str, Any]) -> int:
    """Cells of a tile's side, of the metadata of a weight file: by the kind of its network."""
    return TILE if metadata.get("layout") is None else grid.PUBLISHED_TILE


def tiles(height: int, width: int, whole: int, side: int) -> list[tuple[slice, slice]]:
    """Overlapping tiles of a grid: one, if it has at most `whole` cells.

    They depend on the size alone, so encoder and decoder of any machine cut alike.
    """
    if height * width <= whole:
        return [(slice(0, height), slice(0, width))]
    rows, columns = _spans(height, side), _spans(width, side)
    return [(row, column) for row in rows for column in columns]


def _spans(length: int, side: int) -> list[slice]:
    """As few spans of at most `side` as cover the length, as short as the overlap lets them be."""
    count = max(1, -(-(length - OVERLAP) // (side - OVERLAP)))
    if count == 1:
        return [slice(0, length)]
    side = -(-(length + (count - 1) * OVERLAP) // count)
    starts = [round(index * (length - side) / (count - 1)) for index in range(count)]
    return [slice(start, start + side) for start in starts]


def fade(span: slice, length: int, scale: int) -> Floats:
    """Weight of every row (or column) of a tile: ramps where another tile lies beside it."""
    size = (span.stop - span.start) * scale
    ramp = (np.arange(size, dtype=np.float32) + 0.5) / (OVERLAP * scale)
    weight = np.ones(size, np.float32)
    if span.start > 0:
        weight = np.minimum(weight, ramp)
    if span.stop < length:
        weight = np.minimum(weight, ramp[::-1])
    return weight


def in_tiles(
    shape: tuple[int, int],
    cut: list[tuple[slice, slice]],
    run: Callable[[slice, slice], Floats],
    scale: int,
) -> Iterator[tuple[slice, slice, Floats]]:
    """Run a network tile by tile; yield finished strips (rows, columns, values).

    `run` gives (C, rows, columns) values for a tile, `scale` values per cell and side. Strips lie
    across the longer side, and only two of them are held at a time.
    """
    if shape[1] <= shape[0]:
        for rows, values in _strips(shape, cut, run, scale):
            yield rows, slice(0, shape[1] * scale), values
        return
    turned = [(columns, rows) for rows, columns in cut]

    def turn(columns: slice, rows: slice) -> Floats:
        return run(rows, columns).swapaxes(1, 2)

    for columns, values in _strips(shape[::-1], turned, turn, scale):
        yield slice(0, shape[0] * scale), columns, values.swapaxes(1, 2)


def _strips(
    shape: tuple[int, int],
    cut: list[tuple[slice, slice]],
    run: Callable[[slice, slice], Floats],
    scale: int,
) -> Iterator[tuple[slice, Floats]]:
    """Finished strips from top to bottom, each (C, rows, all columns)."""
    height = shape[0]
    starts = sorted({(rows.start, rows.stop) for rows, _ in cut})
    pending: tuple[Floats, Floats] | None = None
    top = 0
    for index, (start, stop) in enumerate(starts):
        rows = slice(start, stop)
        strip, total = _blend(rows, shape, cut, run, scale)
        if pending is not None:
            shared = pending[1].shape[0]
            strip[:, :shared] += pending[0]
            total[:shared] += pending[1]
        done = ((starts[index + 1][0] if index + 1 < len(starts) else height) - start) * scale
        strip[:, :done] /= total[:done]
        yield slice(top, top + done), strip[:, :done]
        pending = strip[:, done:].copy(), total[done:].copy()
        top += done


def _blend(
    rows: slice,
    shape: tuple[int, int],
    cut: list[tuple[slice, slice]],
    run: Callable[[slice, slice], Floats],
    scale: int,
) -> tuple[Floats, Floats]:
    """Weighted sum of one row of tiles, (C, rows, columns), and its weights."""
    height, width = shape
    total = np.zeros(((rows.stop - rows.start) * scale, width * scale), np.float32)
    strip: Floats | None = None
    for _, columns in [tile for tile in cut if tile[0] == rows]:
        part = run(rows, columns)
        weight = fade(rows, height, scale)[:, None] * fade(columns, width, scale)
        if strip is None:
            strip = np.zeros((len(part), *total.shape), np.float32)
        place = slice(columns.start * scale, columns.stop * scale)
        strip[:, :, place] += part * weight
        total[:, place] += weight
    assert strip is not None, "a row of tiles has tiles"
    return strip, total


def image_latent(
    network: Any,
    image: Image,
    mean: Floats,
    std: Floats,
    device: str = "cpu",
    *,
    whole: int = WHOLE,
    side: int = TILE,
) -> NDArray[np.int16]:
    """The standardised latent of an image, int16 (h, w, C), in 1/8192 standard deviations.

    Values beyond 4 standard deviations are clipped. See `scaled_latent`.
    """
    scaled = scaled_latent(network, image, mean, std, device, whole=whole, side=side)
    return np.clip(scaled, -LIMIT, LIMIT, out=scaled).astype(np.int16)


def scaled_latent(
    network: Any,
    image: Image,
    mean: Floats,
    std: Floats,
    device: str = "cpu",
    *,
    whole: int = WHOLE,
    side: int = TILE,
) -> Floats:
    """The standardised latent of an image, whole numbers in 1/8192 standard deviations.

    A thin image is folded, then continued by its last row and column to whole cells. Streams
    depend on `whole` and `side` (see `tiles`); other values are for measuring their effect.

    Returns:
        float32 (h, w, C), not limited.
    """
    import torch

    height, width = latent_shape(*image.shape[:2])
    image = fold(image, CELL)
    padded = np.pad(
        image,
        ((0, height * CELL - image.shape[0]), (0, width * CELL - image.shape[1]), (0, 0)),
        mode="edge",
    )
    out = np.empty((height, width, len(mean)), np.float32)

    def run(rows: slice, columns: slice) -> Floats:
        part = padded[
            rows.start * CELL : rows.stop * CELL, columns.start * CELL : columns.stop * CELL
        ]
        pixels = torch.from_numpy(part.transpose(2, 0, 1)[None].astype(np.float32))
        pixels = (pixels / 127.5 - 1).to(device, memory_format=torch.channels_last)
        result: Floats = network.encode(pixels).latent_dist.mode()[0].float().cpu().numpy()
        return result

    with torch.inference_mode():
        cut = tiles(height, width, whole, side)
        for rows, columns, strip in in_tiles((height, width), cut, run, 1):
            scaled = (strip - mean[:, None, None]) / std[:, None, None] * SCALE
            out[rows, columns] = np.rint(scaled).transpose(1, 2, 0)
    return out


def latent_image(
    network: Any,
    latent: Floats,
    mean: Floats,
    std: Floats,
    size: tuple[int, int],
    device: str = "cpu",
    *,
    whole: int = WHOLE,
    side: int = TILE,
) -> Image:
    """The image of a standardised latent, float32 (h, w, C), cropped to `size` (height, width).

    The latent is of `latent_shape(*size)`: the image of a thin image is unfolded. `whole` and
    `side` as in `scaled_latent`.
    """
    import torch

    height, width = latent.shape[:2]
    image = np.empty((*coded_size(*size, CELL), 3), np.uint8)

    def run(rows: slice, columns: slice) -> Floats:
        values = latent[rows, columns] * std + mean
        part = torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)[None]))
        part = part.to(device, memory_format=torch.channels_last)
        result: Floats = network.decode(part).sample[0].float().cpu().numpy()
        return result

    with torch.inference_mode():
        cut = tiles(height, width, whole, side)
        for rows, columns, strip in in_tiles((height, width), cut, run, CELL):
            strip += 1
            strip *= np.float32(127.5)
            pixels = np.rint(strip, out=strip).clip(0, 255, out=strip).astype(np.uint8)
            place = image[rows, columns]  # cropped where the last cells reach beyond the image
            place[:] = pixels.transpose(1, 2, 0)[: place.shape[0], : place.shape[1]]
    return unfold(image, size, CELL)
