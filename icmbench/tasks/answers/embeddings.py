"""Embeddings of an image and of its captions, for image-text retrieval; stored as .npy."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import MeasurementError, TaskError
from icmbench.tasks.answers import Answer
from icmbench.tasks.evaluate import Truth
from icmbench.tasks.metrics.retrieval_metrics import RetrievalEvaluator

EMBEDDINGS = "embeddings"


@dataclass(frozen=True)
class Embeddings:
    """Unit vectors of one image and of its captions.

    The captions' vectors are those of the text encoder, the same for every reconstruction.

    Attributes:
        image: float32 (D,).
        captions: float32 (n, D), in the order of the annotation.
    """

    produces: ClassVar[str] = EMBEDDINGS

    image: NDArray[np.float32]
    captions: NDArray[np.float32]


class EmbeddingAnswer(Answer):
    """`Embeddings`; the captions of the image are given."""

    extension = "npy"
    metrics = RetrievalEvaluator.metrics
    curves = ("image_to_text_r1", "image_to_text_r5", "text_to_image_r1", "text_to_image_r5")

    def encode(self, prediction: Embeddings, size: tuple[int, int] | None) -> bytes:
        """float32 (1 + n, D), the image's first."""
        image, captions = prediction.image, prediction.captions
        if image.ndim != 1 or captions.shape[1:] != image.shape:
            raise TaskError(f"embeddings of the shapes {image.shape} and {captions.shape}")
        table = np.concatenate([image[None], captions]).astype(np.float32)
        if not np.allclose(np.linalg.norm(table.astype(np.float64), axis=1), 1, atol=1e-3):
            raise TaskError("an embedding is no unit vector")  # nor finite
        buffer = io.BytesIO()
        np.save(buffer, table, allow_pickle=False)
        return buffer.getvalue()

    def decode(self, data: bytes) -> Embeddings:
        """The vectors."""
        table = np.load(io.BytesIO(data), allow_pickle=False)
        if table.dtype != np.float32 or table.ndim != 2 or not len(table):
            raise MeasurementError(f"embeddings of {table.dtype} {table.shape}")
        return Embeddings(table[0], table[1:])

    def given(self, truth: Truth, image_id: str) -> Sequence[str]:
        """The captions of an image."""
        captions: Sequence[str] = truth.more.get("captions", {}).get(image_id, ())
        return captions

    def annotated(self, truth: Truth) -> bool:
        """True if there are captions."""
        return bool(truth.more.get("captions"))

    def evaluator(self, truth: Truth, images: Sequence[str]) -> RetrievalEvaluator:
        """Of recall."""
        return RetrievalEvaluator(images, truth.more["captions"])


ANSWER = EmbeddingAnswer()
