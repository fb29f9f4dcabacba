"""`heic`: HEVC still images, x265 and libde265 through pillow-heif."""

from __future__ import annotations

from icmbench.codecs.base import Image, Key
from icmbench.codecs.conventional import pillow_io
from icmbench.codecs.conventional.base import ConventionalCodec
from icmbench.codecs.conventional.brands import coding


class Heic(ConventionalCodec):
    """HEIC on one thread."""

    name = "heic"
    title = "HEIC"
    extension = "heic"
    rate_key = "quality"
    head_bytes = 378  # boxes ftyp, meta with the parameter sets, head of mdat; odd sides: 40 more
    quality_keys = {
        "quality": Key(int, low=0, high=100, help="libheif quality"),
        "chroma": Key(int, default=420, choices=(420, 444), help="chroma sampling"),
    }
    settings = (
        "x265 through pillow-heif (libheif), 8-bit 4:2:0, preset slow (libheif's default), "
        "one thread"
    )
    packages = ("pillow-heif",)
    coders = ("libheif", "x265")

    @classmethod
    def unavailable(cls) -> str:
        """Return the reason where libheif has no HEVC encoder."""
        import pillow_heif

        if "x265" in pillow_heif.libheif_info()["encoders"]:
            return ""
        return "this pillow-heif was built without x265; install one of its wheels"

    def encode_plain(self, image: Image, *, quality: int, chroma: int = 420) -> bytes:
        """Encode an image as HEIC."""
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
        one_thread = {"x265:pools": "none", "x265:frame-threads": "1"}
        return pillow_io.write(image, "HEIF", quality=quality, chroma=chroma, enc_params=one_thread)

    def decode_plain(self, stream: bytes) -> Image:
        """Decode HEIC."""
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
        return pillow_io.read(stream, "HEIF")

    @classmethod
    def is_plain(cls, data: bytes) -> bool:
        """Check the brands of a file for this coding."""
        return coding(data) == "heic"
