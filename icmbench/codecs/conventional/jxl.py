"""`jxl`: JPEG XL (ISO/IEC 18181), libjxl through imagecodecs."""

from __future__ import annotations

from icmbench.codecs.base import Image, Key, check_pixels
from icmbench.codecs.conventional.base import MAX_PIXELS, ConventionalCodec
from icmbench.codecs.conventional.jxl_header import BOXED, CODESTREAM, read_header
from icmbench.core.errors import CorruptStream


class JpegXl(ConventionalCodec):
    """Lossy JPEG XL (VarDCT) at a Butteraugli distance."""

    name = "jxl"
    title = "JPEG XL"
    extension = "jxl"
    rate_key = "distance"
    quality_keys = {
        "distance": Key(float, low=0.05, high=25, help="Butteraugli distance, 1 is visually clean"),
        "effort": Key(int, default=7, low=1, high=9, help="libjxl effort, 9 is slowest"),
    }
    settings = "libjxl through imagecodecs, VarDCT, effort 7, bare codestream, one thread"
    packages = ("imagecodecs",)
    coders = ("libjxl",)
    MARKS = ((0, CODESTREAM), (0, BOXED))

    @classmethod
    def unavailable(cls) -> str:
        """Return the reason where imagecodecs was built without libjxl."""
        import imagecodecs

        if imagecodecs.JPEGXL.available:
            return ""
        return "this imagecodecs was built without libjxl; install one of its wheels"

    def encode_plain(self, image: Image, *, distance: float, effort: int = 7) -> bytes:
        """The JPEG XL codestream of an image."""
        import imagecodecs

        stream = imagecodecs.jpegxl_encode(
            image, distance=distance, effort=effort, usecontainer=False, numthreads=1
        )
        return bytes(stream)

    def decode_plain(self, stream: bytes) -> Image:
        """The image of a JPEG XL file: grey becomes RGB, alpha is laid on white, 8 bits."""
        import imagecodecs
        import numpy as np
        from PIL import Image as PillowImage

        from icmbench.core.images.transparency import on_white

        header = read_header(stream)
        check_pixels(header.width, header.height, MAX_PIXELS)
        if header.floating or header.bits > 16:
            raise CorruptStream("floating-point or 32-bit JPEG XL has no 8-bit values here")
        if header.extra_channels > 1 or header.extra_channels > header.first_extra_is_alpha:
            raise CorruptStream("JPEG XL with extra channels other than alpha is not supported")
        pixels = imagecodecs.jpegxl_decode(stream, index=0, numthreads=1)
        if pixels.dtype == np.uint16:
            most = (1 << header.bits) - 1
            scaled = (np.minimum(pixels, most).astype(np.uint32) * 255 + most // 2) // most
            pixels = scaled.astype(np.uint8)
        if pixels.ndim == 3 and pixels.shape[2] == 3:
            return pixels
        return np.asarray(on_white(PillowImage.fromarray(pixels))[0].convert("RGB"))
