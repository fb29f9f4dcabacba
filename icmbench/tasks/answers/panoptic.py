"""Panoptic segments: a category and a number per pixel, stored as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from icmbench.core.errors import MeasurementError, TaskError
from icmbench.tasks.answers import Answer
from icmbench.tasks.evaluate import Truth
from icmbench.tasks.metrics.panoptic_metrics import PanopticEvaluator, to_numbers

PANOPTIC = "panoptic"


@dataclass(frozen=True)
class Segments:
    """Segments of one image.

    Attributes:
        map: int32 (H, W): category id of the data set * 1000 + number of the segment, from 1; 0: no
            segment.
    """

    produces: ClassVar[str] = PANOPTIC

    map: NDArray[np.int32]


class Panoptic(Answer):
    """`Segments`."""

    extension = "png"
    metrics = PanopticEvaluator.metrics
    curves = ("pq", "pq_things", "pq_stuff")

    def encode(self, prediction: Segments, size: tuple[int, int] | None) -> bytes:
        """RGB; a pixel's value is R + 256 G + 65536 B, as in COCO's files."""
        values = prediction.map
        if values.dtype != np.int32 or values.ndim != 2 or not values.size:
            raise TaskError(f"{values.dtype} {values.shape} is no map of segments")
        if values.min() < 0 or values.max() >= 1 << 24:
            raise TaskError("a segment's value is not within 0 to 2^24 - 1")
        planes = np.stack([values & 255, values >> 8 & 255, values >> 16], axis=2)
        buffer = io.BytesIO()
        PillowImage.fromarray(planes.astype(np.uint8)).save(buffer, "PNG")
        return buffer.getvalue()

    def decode(self, data: bytes) -> Segments:
        """The map."""
        with PillowImage.open(io.BytesIO(data), formats=("PNG",)) as picture:
            if picture.mode != "RGB":
                raise MeasurementError(f"a map of segments of mode {picture.mode}")
            return Segments(to_numbers(np.array(picture).astype(np.int32)))

    def annotated(self, truth: Truth) -> bool:
        """True if there are panoptic maps."""
        return bool(truth.more.get("panoptic"))

    def evaluator(self, truth: Truth, images: Sequence[str]) -> PanopticEvaluator:
        """Of PQ."""
        return PanopticEvaluator(images, truth.more["panoptic"])


ANSWER = Panoptic()
