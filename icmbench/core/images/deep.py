"""16-bit PNG and TIFF as 8-bit Pillow images: Pillow drops their low byte or refuses them.

Only the samples are reduced here; alpha stays in the image, and the metadata are read by the
same functions at 8 and 16 bits, so that a 16-bit file and its 8-bit twin go the same way.
"""

from __future__ import annotations

import io
import math
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from icmbench.core.errors import ImageError
from icmbench.core.images.jpeg import check_stream

if TYPE_CHECKING:
    from tifffile import TiffPage

MAX_PIXELS: Final = 170_000_000
_ICC_PROFILE, _XMP, _BITS = 34675, 700, 258
# Tags of one whole number: a list in its place multiplies sizes.
_SINGLE: Final = {
    256: "ImageWidth",
    257: "ImageLength",
    259: "Compression",
    262: "PhotometricInterpretation",
    274: "Orientation",
    277: "SamplesPerPixel",
    278: "RowsPerStrip",
    284: "PlanarConfiguration",
    317: "Predictor",
    322: "TileWidth",
    323: "TileLength",
    32997: "ImageDepth",
    32998: "TileDepth",
}
_JPEG: Final = 7  # TIFF's Compression
_TIFF_STARTS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB = 0, 1, 2
_REFUSED: Final = {
    3: "palette",
    4: "mask",
    5: "CMYK",
    6: "YCbCr",
    8: "CIE Lab",
    9: "ICC Lab",
    10: "ITU Lab",
    32803: "colour filter array",
    32844: "LogL",
    32845: "LogLuv",
    34892: "linear raw",
}
_UNUSED, _PREMULTIPLIED, _ALPHA = 0, 1, 2  # ExtraSamples of TIFF 6.0, page 31


class TiffFile(NamedTuple):
    """The first page of a TIFF file, and how many pages there are.

    Attributes:
        picture: 8-bit L, LA, RGB or RGBA of 16-bit samples; None for fewer bits.
        icc, xmp: the metadata's bytes, b'' without one.
        kind: the samples in words, for errors.
    """

    picture: PillowImage.Image | None
    pages: int
    icc: bytes
    xmp: bytes
    kind: str


def check_size(width: int, height: int) -> None:
    """Refuse an image by its header, before anything of its size is allocated.

    Raises:
        ImageError: it has more than 170 million pixels.
    """
    if width * height > MAX_PIXELS:
        raise ImageError(f"{width}x{height} pixels are over the limit")


def deep_png(data: bytes) -> PillowImage.Image:
    """The 8-bit image of a 16-bit PNG file."""
    import imagecodecs

    return _reduced(imagecodecs.png_decode(data))


def deep_tiff(data: bytes) -> TiffFile | None:
    """The first page of a TIFF file, which is decoded if it has 16 bits; None for other files.

    16 bits: grey in both directions and RGB, with or without alpha, interleaved or in planes.

    Raises:
        ImageError: the samples are floating point, signed or of more than 16 bits, a strip or
            tile is missing, a tag of one number holds a list; with 16 bits also where the colours
            are of another kind (CMYK, Lab, YCbCr...) or there is more than one extra channel.
    """
    if not data.startswith(_TIFF_STARTS):
        return None
    _check_single_tags(data)
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page = tiff.pages.first
        check_size(page.imagewidth, page.imagelength)
        kind = f"{page.dtype} samples, {page.samplesperpixel} a pixel"
        if page.dtype is not None and (page.dtype.kind in "ifc" or page.dtype.itemsize > 2):
            raise ImageError(f"pixels of type {page.dtype} have no 8-bit RGB meaning")
        _check_strips(data, page)
        bits = page.tags.valueof(_BITS, default=1)
        deep = max(bits if isinstance(bits, tuple) else (bits,)) == 16
        return TiffFile(
            _reduced(_channels(page)) if deep else None,
            len(tiff.pages),
            bytes(page.tags.valueof(_ICC_PROFILE) or b""),
            _as_bytes(page.tags.valueof(_XMP)),
            kind,
        )


def _as_bytes(value: object) -> bytes:
    return value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else b""


def _check_single_tags(data: bytes) -> None:
    """Refuse lists in place of whole numbers, before any reader multiplies with them."""
    order = "<" if data[:2] == b"II" else ">"
    big = 43 in data[2:4]
    number, counted, step = ("Q", "Q", 20) if big else ("I", "H", 12)
    entry = struct.Struct(f"{order}HH{number}")
    try:
        at = struct.unpack_from(order + number, data, 8 if big else 4)[0]
        entries = struct.unpack_from(order + counted, data, at)[0]
        at += 8 if big else 2
        for place in range(at, min(at + step * entries, len(data) - step + 1), step):
            tag, _, count = entry.unpack_from(data, place)
            if tag in _SINGLE and count != 1:
                raise ImageError(f"damaged: the TIFF tag {_SINGLE[tag]} holds {count} values")
    except struct.error as error:
        raise ImageError("damaged: the TIFF directory is not in the file") from error


def _check_strips(data: bytes, page: TiffPage) -> None:
    """Refuse missing data, which readers replace with zeros, grey or whatever follows."""
    sizes, places = page.databytecounts, page.dataoffsets
    if len(sizes) < math.prod(page.chunked) or 0 in sizes or 0 in places:
        raise ImageError("damaged: a strip or tile is missing")
    if page.compression == _JPEG:
        tables = page.jpegtables
        for place, size in zip(places, sizes, strict=True):
            strip = data[place : place + size]
            check_stream(tables[:-2] + strip[2:] if tables else strip)


def _channels(page: TiffPage) -> NDArray[np.uint16]:
    """uint16 (H, W, 1..4): grey rising with light or RGB, then straight alpha if there is one."""
    if page.dtype != np.uint16:
        raise ImageError(f"pixels of type {page.dtype} have no 8-bit RGB meaning")
    kind = int(page.photometric)
    if kind not in (_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB):
        raise ImageError(f"16-bit {_REFUSED.get(kind, f'photometric {kind}')} is not supported")
    colours = 3 if kind == _RGB else 1
    planes, depth, height, width, interleaved = page.shaped
    samples = planes * interleaved
    if depth != 1 or samples not in (colours, colours + 1):
        raise ImageError(f"{samples} channels, {depth} deep, are not an RGB or grey image")
    stored = page.asarray(squeeze=False)[:, 0]
    deep = np.moveaxis(stored, 0, 2).reshape(height, width, samples)
    if kind == _MIN_IS_WHITE:
        deep = np.concatenate([65535 - deep[:, :, :1], deep[:, :, 1:]], axis=2)
    if samples == colours:
        return deep
    # A fourth channel that no tag explains is taken as alpha, as Pillow does with 8 bits.
    extra = int(page.extrasamples[0]) if page.extrasamples else _ALPHA
    return _straight(deep, extra)


def _straight(deep: NDArray[np.uint16], extra: int) -> NDArray[np.uint16]:
    if extra == _UNUSED:
        return deep[:, :, :-1]
    if extra != _PREMULTIPLIED:
        return deep
    alpha = deep[:, :, -1:].astype(np.uint64)
    colour = deep[:, :, :-1].astype(np.uint64) * 65535 // np.maximum(alpha, 1)
    return np.concatenate([np.minimum(colour, 65535), alpha], axis=2).astype(np.uint16)


def _reduced(deep: NDArray[np.uint16]) -> PillowImage.Image:
    if deep.dtype != np.uint16 or deep.ndim not in (2, 3):
        raise ImageError(f"pixels of type {deep.dtype} have no 8-bit RGB meaning")
    channels = deep[:, :, None] if deep.ndim == 2 else deep
    eight = ((channels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    flat = eight[:, :, 0] if eight.shape[2] == 1 else eight
    return PillowImage.fromarray(np.ascontiguousarray(flat))
