"""16-bit PNG and TIFF as 8-bit Pillow pictures: Pillow drops their low byte or refuses them.

Only the samples are reduced here; alpha, orientation and the ICC profile are handed on in the
picture, so that a 16-bit file and its 8-bit twin go the same way afterwards.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from icmbench.errors import ImageError

if TYPE_CHECKING:
    from tifffile import TiffPage

MAX_PIXELS: Final = 170_000_000
ORIENTATION: Final = 0x0112  # the tag of EXIF and of TIFF
_ICC_PROFILE: Final = 34675
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


class DeepTiff(NamedTuple):
    """The 8-bit picture (L, LA, RGB or RGBA) of the first page, and how many pages there are."""

    picture: PillowImage.Image
    pages: int


def check_size(width: int, height: int) -> None:
    """Refuse a picture by its header, before anything of its size is allocated.

    Raises:
        ImageError: it has more than 170 million pixels.
    """
    if width * height > MAX_PIXELS:
        raise ImageError(f"{width}x{height} pixels are over the limit")


def deep_png(data: bytes, picture: PillowImage.Image) -> PillowImage.Image | None:
    """The 8-bit picture of a 16-bit PNG, which Pillow has opened; None if it is not 16-bit."""
    if data[24] != 16:
        return None
    import imagecodecs

    reduced = _reduced(imagecodecs.png_decode(data))
    for key in ("icc_profile", "exif"):
        if key in picture.info:
            reduced.info[key] = picture.info[key]
    return reduced


def deep_tiff(data: bytes) -> DeepTiff | None:
    """The first page of a 16-bit TIFF; None if the file is not one.

    Grey in both directions and RGB, with or without alpha, interleaved or in planes.

    Raises:
        ImageError: the samples are floating point or signed, the colours are of another kind
            (CMYK, Lab, YCbCr...), or there is more than one extra channel.
    """
    if not data.startswith(_TIFF_STARTS):
        return None
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page = tiff.pages.first
        bits = page.tags.valueof(258, default=1)
        if max(bits if isinstance(bits, tuple) else (bits,)) != 16:
            return None
        reduced = _reduced(_channels(page))
        profile = page.tags.valueof(_ICC_PROFILE)
        pages = len(tiff.pages)
        orientation = page.tags.valueof(ORIENTATION, default=1)
    if profile:
        reduced.info["icc_profile"] = bytes(profile)
    if orientation != 1:
        exif = PillowImage.Exif()
        exif[ORIENTATION] = int(orientation)
        reduced.info["exif"] = exif.tobytes()
    return DeepTiff(reduced, pages)


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
    check_size(width, height)
    # tifffile fills what a file does not hold with zeros; that is not the picture.
    sizes = page.databytecounts
    if len(sizes) < math.prod(page.chunked) or 0 in sizes or 0 in page.dataoffsets:
        raise ImageError("damaged: a strip or tile is missing")
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
