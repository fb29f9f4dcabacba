"""`jpeg`: baseline of baselines (ITU-T T.81), libjpeg-turbo through Pillow."""

from __future__ import annotations

from typing import ClassVar

from icmbench.codecs.base import Image, Key
from icmbench.codecs.conventional import pillow_io
from icmbench.codecs.conventional.base import ConventionalCodec


class Jpeg(ConventionalCodec):
    """JPEG 4:2:0, optimised Huffman tables, progressive."""

    name = "jpeg"
    title = "JPEG"
    extension = "jpg"
    rate_key = "quality"
    quality_keys = {"quality": Key(int, low=1, high=100, help="libjpeg quality")}
    settings = "libjpeg-turbo through Pillow, 4:2:0, optimised Huffman tables, progressive"
    packages: ClassVar[tuple[str, ...]] = ("pillow",)
    coders = ("libjpeg-turbo",)
    pillow_feature = "jpg"
    MARKS = ((0, b"\xff\xd8\xff"),)

    def encode_plain(self, image: Image, *, quality: int) -> bytes:
        """Encode an image as JPEG."""
        options = {"optimize": True, "progressive": True, "subsampling": "4:2:0"}
        return pillow_io.write(image, "JPEG", quality=quality, **options)

    def decode_plain(self, stream: bytes) -> Image:
        """Decode JPEG."""
        return pillow_io.read(stream, "JPEG")
