"""`svt-av1`: AV1 still images by SVT-AV1, through PyAV (FFmpeg), in AVIF files."""

from __future__ import annotations

import io
import os
from typing import Any, ClassVar

from icmbench.codecs.base import Image, Key
from icmbench.codecs.conventional.avif import Avif
from icmbench.core.errors import CodecError

_SIDE = 4  # pixels: SVT-AV1 codes no smaller image
_FULL_RANGE, _BT601, _BT709, _SRGB = 2, 6, 1, 13  # of FFmpeg: range, matrix, primaries, transfer


class SvtAv1(Avif):
    """AVIF 10-bit 4:2:0 by SVT-AV1 in its still-picture mode, on one thread."""

    name = "svt-av1"
    title = "SVT-AV1"
    rate_key = "crf"
    quality_keys = {
        "crf": Key(int, low=1, high=63, help="SVT-AV1's constant rate factor, 63 is coarsest"),
        "preset": Key(int, default=4, low=0, high=8, help="SVT-AV1's preset, 0 is slowest"),
    }
    settings = (
        "SVT-AV1 through PyAV, still-picture mode, 10-bit 4:2:0 (swscale, bicubic, BT.601 full "
        "range), preset 4, one thread, AVIF file of FFmpeg; decoded by imagecodecs' libavif"
    )
    packages: ClassVar[tuple[str, ...]] = ("av", "imagecodecs", "pillow")
    coders: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def unavailable(cls) -> str:
        """Return the reason where PyAV has no SVT-AV1, or Pillow no AVIF."""
        import av

        if "libsvtav1" in av.codecs_available:
            return super().unavailable()
        return "this PyAV was built without SVT-AV1; install one of its wheels"

    def encode_plain(self, image: Image, *, crf: int, preset: int = 4) -> bytes:
        """Encode an image as AVIF."""
        os.environ.setdefault("SVT_LOG", "1")  # errors alone; its notes go to standard error
        import av

        if min(image.shape[:2]) < _SIDE:
            raise CodecError(f"SVT-AV1 codes images of {_SIDE}x{_SIDE} pixels and more")
        file = io.BytesIO()
        with av.open(file, "w", format="avif") as container:
            options = {"crf": str(crf), "preset": str(preset), "svtav1-params": "avif=1:lp=1"}
            stream: Any = container.add_stream("libsvtav1", rate=1, options=options)
            stream.height, stream.width = image.shape[:2]
            stream.pix_fmt = "yuv420p10le"
            coder = stream.codec_context
            coder.thread_count = 1
            coder.color_range, coder.colorspace = _FULL_RANGE, _BT601
            coder.color_primaries, coder.color_trc = _BT709, _SRGB
            for packet in [*stream.encode(_frame(image)), *stream.encode()]:
                container.mux(packet)
        return file.getvalue()


def _frame(image: Image) -> Any:
    """The image as YCbCr 4:2:0, chroma in the middle of its four pixels as libavif expects it."""
    import av
    import numpy as np
    from av.video.reformatter import Interpolation

    exact = Interpolation.ACCURATE_RND | Interpolation.BITEXACT  # the same on every processor
    rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    frame = rgb.reformat(
        format="yuv420p10le",
        src_color_range="JPEG",
        dst_color_range="JPEG",
        dst_colorspace="ITU601",
        interpolation=Interpolation.BICUBIC | exact,
        threads=1,
    )
    frame.pts = 0
    return frame
