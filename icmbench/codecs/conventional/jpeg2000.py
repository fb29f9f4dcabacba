"""`jpeg2000`: wavelets (ISO/IEC 15444-1), OpenJPEG through Pillow."""

from __future__ import annotations

import math

from icmbench.codecs.base import Image, Key
from icmbench.codecs.conventional import pillow_io
from icmbench.codecs.conventional.base import ConventionalCodec


class Jpeg2000(ConventionalCodec):
    """JPEG 2000 codestream at a compression ratio: 24 bits a pixel divided by `ratio`."""

    name = "jpeg2000"
    title = "JPEG 2000"
    extension = "j2k"
    rate_key = "ratio"
    quality_keys = {
        "ratio": Key(float, low=1, high=5000, help="compression ratio asked of OpenJPEG")
    }
    settings = (
        "OpenJPEG through Pillow, irreversible 9/7 wavelet and colour transform, one quality "
        "layer at the given ratio, bare codestream without the JP2 box"
    )
    packages = ("pillow",)
    coders = ("openjpeg",)
    pillow_feature = "jpg_2000"
    MARKS = ((0, b"\xff\x4f\xff\x51"), (0, b"\0\0\0\x0cjP  \r\n\x87\n"))

    def encode_plain(self, image: Image, *, ratio: float) -> bytes:
        """Encode an image as a bare codestream."""
        # OpenJPEG refuses more resolutions than the shorter side has halvings.
        resolutions = min(6, int(math.log2(min(image.shape[:2]))) + 1)
        return pillow_io.write(
            image,
            "JPEG2000",
            quality_mode="rates",
            quality_layers=[ratio],
            num_resolutions=resolutions,
            irreversible=True,
            mct=1,
            no_jp2=True,
        )

    def decode_plain(self, stream: bytes) -> Image:
        """Decode codestream, bare or in a JP2."""
        return pillow_io.read(stream, "JPEG2000")
