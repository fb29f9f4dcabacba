"""`identity`: PNG, lossless: the ceiling of every table and a check of the whole pipeline."""

from __future__ import annotations

from icmbench.codecs.base import Codec, Image, check_image
from icmbench.codecs.conventional import pillow_io
from icmbench.codecs.conventional.base import refusal
from icmbench.core.errors import IcmbenchError


class Identity(Codec):
    """PNG with Pillow's optimised deflate; must come out bit-identical."""

    name = "identity"
    title = "PNG (lossless)"
    extension = "png"
    settings = "PNG, 8-bit RGB, Pillow optimize=True (deflate level 9, adaptive filters)"
    packages = ("pillow",)
    lossless = True

    def encode(self, image: Image) -> bytes:
        """Encode an image as PNG."""
        return pillow_io.write(check_image(image), "PNG", optimize=True)

    def decode(self, stream: bytes) -> Image:
        """Decode a file; CorruptStream where it is damaged."""
        try:
            return pillow_io.read(stream, "PNG")
        except IcmbenchError:
            raise
        # Pillow's PNG reader raises OSError, SyntaxError, ValueError or zlib.error by damage.
        except Exception as error:
            raise refusal("PNG", error) from error

    @classmethod
    def recognises(cls, data: bytes) -> bool:
        """Check a file for the PNG signature."""
        return data.startswith(b"\x89PNG\r\n\x1a\n")
