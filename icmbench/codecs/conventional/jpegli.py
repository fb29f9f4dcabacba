"""`jpegli`: JPEG files by jpegli's encoder (adaptive quantisation), through pyjpegli."""

from __future__ import annotations

from icmbench.codecs.base import Image, Key
from icmbench.codecs.conventional.jpeg import Jpeg


class Jpegli(Jpeg):
    """JPEG 4:2:0, sequential; the binding offers no other mode."""

    name = "jpegli"
    title = "jpegli"
    quality_keys = {"quality": Key(int, low=1, high=100, help="jpegli quality")}
    settings = (
        "jpegli through pyjpegli, 4:2:0, sequential (the binding has no progressive mode); "
        "decoded by libjpeg-turbo"
    )
    packages = ("pyjpegli", "pillow")

    def encode_plain(self, image: Image, *, quality: int) -> bytes:
        """Encode an image as JPEG."""
        import numpy as np
        import pyjpegli

        height, width = image.shape[:2]
        pixels = np.ascontiguousarray(image)
        stream: bytes = pyjpegli.encode(pixels, width, height, quality=quality)
        return stream
