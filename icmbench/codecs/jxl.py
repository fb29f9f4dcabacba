"""`jxl`: JPEG XL (ISO/IEC 18181), libjxl through imagecodecs."""

from __future__ import annotations

import imagecodecs

from icmbench.codecs.base import Image, Key
from icmbench.codecs.conventional import ConventionalCodec


class JpegXl(ConventionalCodec):
    """Lossy JPEG XL (VarDCT) at a Butteraugli distance."""

    name = "jxl"
    title = "JPEG XL"
    extension = "jxl"
    quality_keys = {
        "distance": Key(float, low=0.05, high=25, help="Butteraugli distance, 1 is visually clean"),
        "effort": Key(int, default=7, low=1, high=9, help="libjxl effort, 9 is slowest"),
    }
    settings = "libjxl through imagecodecs, VarDCT, effort 7, bare codestream, one thread"
    packages = ("imagecodecs",)
    coders = ("libjxl",)
    MARKS = ((0, b"\xff\x0a"), (4, b"JXL \r\n\x87\n"))

    @classmethod
    def unavailable(cls) -> str:
        """The reason where imagecodecs was built without libjxl."""
        if imagecodecs.JPEGXL.available:
            return ""
        return "this imagecodecs was built without libjxl; install one of its wheels"

    def encode_plain(self, image: Image, *, distance: float, effort: int = 7) -> bytes:
        """The JPEG XL codestream of an image."""
        stream = imagecodecs.jpegxl_encode(
            image, distance=distance, effort=effort, usecontainer=False, numthreads=1
        )
        return bytes(stream)

    def decode_plain(self, stream: bytes) -> Image:
        """The image of a JPEG XL file."""
        return imagecodecs.jpegxl_decode(stream, numthreads=1)
