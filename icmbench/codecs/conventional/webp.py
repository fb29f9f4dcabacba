"""`webp`: lossy WebP (VP8 intra frames), libwebp through Pillow."""

from __future__ import annotations

from icmbench.codecs.base import Image, Key
from icmbench.codecs.conventional import pillow_io
from icmbench.codecs.conventional.base import ConventionalCodec


class WebP(ConventionalCodec):
    """Lossy WebP, method 6."""

    name = "webp"
    title = "WebP"
    extension = "webp"
    rate_key = "quality"
    quality_keys = {"quality": Key(int, low=0, high=100, help="libwebp quality")}
    settings = "libwebp through Pillow, lossy, method 6 (slowest), 4:2:0"
    packages = ("pillow",)
    coders = ("libwebp",)
    pillow_feature = "webp"
    MARKS = ((8, b"WEBP"),)

    def encode_plain(self, image: Image, *, quality: int) -> bytes:
        """Encode an image as WebP."""
        return pillow_io.write(image, "WEBP", quality=quality, method=6)

    def decode_plain(self, stream: bytes) -> Image:
        """Decode WebP."""
        return pillow_io.read(stream, "WEBP")
