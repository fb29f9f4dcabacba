"""Foreign files through Pillow, in memory."""

from __future__ import annotations

import io
from typing import Any, Final

from icmbench.codecs.base import Image, check_pixels
from icmbench.codecs.conventional.base import MAX_PIXELS
from icmbench.core.errors import CorruptStream, ImageError, TruncatedStream
from icmbench.core.images.png import check_rows

MODES: Final = ("RGB", "RGBA", "RGBX", "L", "LA", "P", "PA", "1", "CMYK", "YCbCr")


def write(image: Image, format_name: str, **options: Any) -> bytes:
    """Encode an image in one of Pillow's formats, without metadata."""
    from PIL import Image as PillowImage

    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, format_name, **options)
    return buffer.getvalue()


def read(stream: bytes, format_name: str) -> Image:
    """Decode a file of the named format to RGB.

    The size in the header is checked before the pixels are allocated. A file that ends early is
    an error (Pillow's default), never an image with a grey or black rest. Transparency
    of foreign files is laid on white; samples of more than 8 bits that Pillow keeps are
    CorruptStream.
    """
    import numpy as np
    from PIL import Image as PillowImage

    from icmbench.core.images.transparency import on_white

    with PillowImage.open(io.BytesIO(stream), formats=[format_name]) as picture:
        check_pixels(*picture.size, MAX_PIXELS)
        if format_name == "PNG":
            _check_rows(stream)
        if picture.mode not in MODES:
            raise CorruptStream(f"pixels of mode {picture.mode} have no 8-bit RGB values here")
        return np.asarray(on_white(picture)[0].convert("RGB"))


def mode(stream: bytes, format_name: str) -> str:
    """Return Pillow's mode of a file whose header is checked as by `read`; nothing is decoded."""
    from PIL import Image as PillowImage

    with PillowImage.open(io.BytesIO(stream), formats=[format_name]) as picture:
        check_pixels(*picture.size, MAX_PIXELS)
        return picture.mode


def _check_rows(stream: bytes) -> None:
    try:
        check_rows(stream)  # Pillow fills rows that are missing with black
    except ImageError as error:
        raise TruncatedStream(f"the PNG file is {error}") from error
