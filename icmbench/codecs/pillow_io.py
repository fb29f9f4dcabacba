"""Foreign files through Pillow, in memory."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from icmbench.codecs.base import Image, check_pixels
from icmbench.codecs.conventional import MAX_PIXELS


def write(image: Image, format_name: str, **options: Any) -> bytes:
    """The file of an image in one of Pillow's formats, without metadata."""
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, format_name, **options)
    return buffer.getvalue()


def read(stream: bytes, format_name: str) -> Image:
    """The RGB image of a file that must be of the named format.

    The size in the header is checked before the pixels are allocated. A file that ends early is
    an error (Pillow's default), never a picture with a grey rest.
    """
    with PillowImage.open(io.BytesIO(stream), formats=[format_name]) as picture:
        check_pixels(*picture.size, MAX_PIXELS)
        return np.asarray(picture.convert("RGB"))
