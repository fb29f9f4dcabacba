"""`avif`: AV1 still images, libaom through Pillow's libavif."""

from __future__ import annotations

from icmbench.codecs.base import Image, Key
from icmbench.codecs.conventional import pillow_io
from icmbench.codecs.conventional.base import ConventionalCodec
from icmbench.codecs.conventional.brands import coding


class Avif(ConventionalCodec):
    """AVIF 4:2:0 with libaom on one thread."""

    name = "avif"
    title = "AVIF"
    extension = "avif"
    rate_key = "quality"
    quality_keys = {
        "quality": Key(int, low=0, high=100, help="libavif quality"),
        "speed": Key(int, default=6, low=0, high=10, help="libaom speed, 0 is slowest"),
    }
    settings = "libaom through Pillow's libavif, 8-bit 4:2:0, speed 6, one thread"
    packages = ("pillow",)
    coders = ("libavif",)
    pillow_feature = "avif"

    def encode_plain(self, image: Image, *, quality: int, speed: int = 6) -> bytes:
        """Encode an image as AVIF."""
        options = {"subsampling": "4:2:0", "codec": "aom", "max_threads": 1}
        return pillow_io.write(image, "AVIF", quality=quality, speed=speed, **options)

    def decode_plain(self, stream: bytes) -> Image:
        """Decode AVIF."""
        return pillow_io.read(stream, "AVIF")

    @classmethod
    def is_plain(cls, data: bytes) -> bool:
        """Check the brands of a file for this coding."""
        return coding(data) == "avif"
