"""Semantic maps: a class per pixel, stored as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image as PillowImage

from icmbench.core.errors import MeasurementError, TaskError
from icmbench.tasks.answers import Answer
from icmbench.tasks.base import SemanticMap
from icmbench.tasks.evaluate import Truth
from icmbench.tasks.metrics.segmentation_metrics import SegmentationEvaluator


class Semantic(Answer):
    """`icmbench.tasks.base.SemanticMap`."""

    extension = "png"
    metrics = SegmentationEvaluator.metrics
    curves = ("miou", "macc")

    def encode(self, prediction: SemanticMap, size: tuple[int, int] | None) -> bytes:
        """PNG of one channel."""
        if prediction.dtype != np.uint8 or prediction.ndim != 2 or not prediction.size:
            raise TaskError(f"{prediction.dtype} {prediction.shape} is no map")
        buffer = io.BytesIO()
        PillowImage.fromarray(prediction).save(buffer, "PNG")
        return buffer.getvalue()

    def decode(self, data: bytes) -> SemanticMap:
        """uint8 (H, W)."""
        with PillowImage.open(io.BytesIO(data), formats=("PNG",)) as picture:
            if picture.mode != "L":
                raise MeasurementError(f"a semantic map of mode {picture.mode}")
            array: SemanticMap = np.array(picture)
            return array

    def annotated(self, truth: Truth) -> bool:
        """True if there are maps."""
        return bool(truth.maps)

    def evaluator(self, truth: Truth, images: Sequence[str]) -> SegmentationEvaluator:
        """Of mIoU."""
        return SegmentationEvaluator(images, truth.maps, truth.classes, truth.ignore)


ANSWER = Semantic()
