"""`avif`: AV1 still images, libaom through the libavif of Pillow or, above 8 bits, imagecodecs."""

from __future__ import annotations

from typing import ClassVar

from icmbench.codecs.base import Image, Key
from icmbench.codecs.conventional import pillow_io
from icmbench.codecs.conventional.base import ConventionalCodec
from icmbench.codecs.conventional.brands import coding


class Avif(ConventionalCodec):
    """AVIF with libaom on one thread."""

    name = "avif"
    title = "AVIF"
    extension = "avif"
    rate_key = "quality"
    head_bytes = 275  # boxes ftyp, meta, and the head of mdat, as libavif writes them
    quality_keys = {
        "quality": Key(int, low=0, high=100, help="libavif quality"),
        "speed": Key(int, default=6, low=0, high=10, help="libaom speed, 0 is slowest"),
        "chroma": Key(int, default=420, choices=(420, 444), help="chroma sampling"),
        "depth": Key(int, default=8, choices=(8, 10), help="bits a sample inside the file"),
    }
    settings = (
        "libaom on one thread, 8-bit 4:2:0, speed 6, through Pillow's libavif (10 bits: that of "
        "imagecodecs)"
    )
    packages: ClassVar[tuple[str, ...]] = ("pillow", "imagecodecs")
    coders: ClassVar[tuple[str, ...]] = ("libavif",)
    pillow_feature = "avif"

    def encode_plain(
        self, image: Image, *, quality: int, speed: int = 6, chroma: int = 420, depth: int = 8
    ) -> bytes:
        """Encode an image as AVIF."""
        if depth > 8:
            return _encode_10(image, quality, speed, chroma)
        sampling = {420: "4:2:0", 444: "4:4:4"}[chroma]
        options = {"subsampling": sampling, "codec": "aom", "max_threads": 1}
        return pillow_io.write(image, "AVIF", quality=quality, speed=speed, **options)

    def decode_plain(self, stream: bytes) -> Image:
        """Decode AVIF; samples of more than 8 bits are rounded as RGB."""
        most = _most(stream)
        if most == 255 or pillow_io.mode(stream, "AVIF") != "RGB":
            return pillow_io.read(stream, "AVIF")
        return _decode_deep(stream, most)

    @classmethod
    def is_plain(cls, data: bytes) -> bool:
        """Check the brands of a file for this coding."""
        return coding(data) == "avif"


def _encode_10(image: Image, quality: int, speed: int, chroma: int) -> bytes:
    """Encode samples of 10 bits; Pillow writes 8 bits alone."""
    import imagecodecs
    import numpy as np

    enums = imagecodecs.AVIF
    stream = imagecodecs.avif_encode(
        ((image.astype(np.uint32) * 1023 + 127) // 255).astype(np.uint16),
        quality,
        speed=speed,
        bitspersample=10,
        pixelformat=f"yuv{chroma}",
        codec="aom",
        primaries=enums.COLOR_PRIMARIES.BT709,
        transfer=enums.TRANSFER_CHARACTERISTICS.SRGB,
        matrix=enums.MATRIX_COEFFICIENTS.BT601,
        numthreads=1,
    )
    return bytes(stream)


def _decode_deep(stream: bytes, most: int) -> Image:
    """Decode samples up to `most`; Pillow's libavif would round them before the colour transform.

    That costs up to 0.3 dB of PSNR.
    """
    import imagecodecs
    import numpy as np

    samples = imagecodecs.avif_decode(stream, numthreads=1).astype(np.uint32)
    return ((np.minimum(samples, most) * 255 + most // 2) // most).astype(np.uint8)


def _most(stream: bytes) -> int:
    """Return the largest sample, by the third byte of the box av1C (AV1-ISOBMFF, 2.3.3)."""
    flags = stream[stream.find(b"av1C") + 6 :][:1] if b"av1C" in stream else b""
    if not flags or not flags[0] & 0x40:  # high_bitdepth
        return 255
    return 4095 if flags[0] & 0x20 else 1023  # twelve_bit
