"""Recall of image-text retrieval: share of queries whose answer is among the first K found.

Recall at K as in Karpathy and Fei-Fei 2015 and Radford et al. 2021 (CLIP): an image's query is
answered by any of its captions among all captions of the images, a caption's query by its image
among all images. The rank of an answer is 1 + the number of wrong ones that are better or equal:
ties count against the query, so that a network of one vector for everything answers nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import MeasurementError, TaskError
from icmbench.tasks.metrics.score import Score

if TYPE_CHECKING:
    from icmbench.tasks.answers.embeddings import Embeddings

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

LEVELS: Final = (1, 5, 10)
# Equal similarities differ by rounding, of float32 vectors and of their products: within this they
# are ties.
TIE: Final = 1e-6
_CHUNK: Final = 256  # images whose similarities to all captions are in memory at once


@dataclass(frozen=True)
class RetrievalCounts:
    """Queries that are answered, per image.

    Attributes:
        images: int64 (images, K), 1 where the image's query is answered at each of `LEVELS`.
        captions: int64 (images, K), number of its captions whose query is.
        queries: int64 (images,), number of its captions.
    """

    images: Counts
    captions: Counts
    queries: Counts


class RetrievalEvaluator:
    """Judges embeddings of images and of their captions by cosine similarity.

    The pool of captions and of images is that of all images compared, of one codec spec. A draw of
    the bootstrap weighs the queries; the pool stays.
    """

    metrics: ClassVar[Mapping[str, Score]] = {
        f"{kind}_r{level}": Score(f"{title} R@{level}", True, f"share of {queries}")
        for kind, title, queries in (
            ("image_to_text", "image to text", "images"),
            ("text_to_image", "text to image", "captions"),
        )
        for level in LEVELS
    }

    def __init__(self, images: Sequence[str], captions: Mapping[str, Sequence[str]]) -> None:
        """`captions` of every image; TaskError naming an image without one."""
        self.images = list(images)
        for image in self.images:
            if not captions.get(image):
                raise TaskError(f"image {image!r} has no caption")
        self._queries = np.array([len(captions[image]) for image in self.images], np.int64)

    def count(self, predictions: Mapping[str, Embeddings]) -> RetrievalCounts:
        """Rank all captions for every image and all images for every caption.

        Of similarities within `TIE` the wrong answer counts first. Raises MeasurementError where an
        image has no prediction, TaskError where one has another number of captions or values.
        """
        queries = zip(self.images, self._queries.tolist(), strict=True)
        found = [self._checked(image, number, predictions) for image, number in queries]
        nothing = np.zeros((0, 1), np.float32)
        pictures = np.stack([each.image for each in found]) if found else nothing
        texts = np.concatenate([each.captions for each in found]) if found else nothing
        pictures, texts = pictures.astype(np.float64), texts.astype(np.float64)
        owner = np.repeat(np.arange(len(found)), self._queries)
        right = np.einsum("td,td->t", texts, pictures[owner])
        best = np.full(len(found), -np.inf)
        np.maximum.at(best, owner, right)
        ahead_of_text = np.zeros(len(texts), np.int64)
        ranks = np.zeros(len(found), np.int64)
        for start in range(0, len(found), _CHUNK):
            rows = np.arange(start, min(start + _CHUNK, len(found)))
            similar = pictures[rows] @ texts.T
            similar[owner[None, :] == rows[:, None]] = -np.inf  # only wrong pairs are counted
            ranks[rows] = (similar >= best[rows, None] - TIE).sum(axis=1)
            ahead_of_text += (similar >= right[None, :] - TIE).sum(axis=0)
        hits = (ahead_of_text[:, None] < np.array(LEVELS)).astype(np.int64)
        captions = np.zeros((len(found), len(LEVELS)), np.int64)
        np.add.at(captions, owner, hits)
        images = (ranks[:, None] < np.array(LEVELS)).astype(np.int64)
        return RetrievalCounts(images, captions, self._queries)

    def values(self, counts: RetrievalCounts, weights: Counts) -> dict[str, Floats]:
        """Recalls where image i counts `weights[r, i]` times, float64 (R,); nan without a query."""
        if weights.ndim != 2 or weights.shape[1] != len(self.images):
            raise ValueError(f"weights {weights.shape} for {len(self.images)} images")
        values = np.concatenate(
            [
                _ratio(weights @ counts.images, weights.sum(axis=1)),
                _ratio(weights @ counts.captions, weights @ counts.queries),
            ],
            axis=1,
        )
        return dict(zip(self.metrics, values.T, strict=True))

    @staticmethod
    def _checked(image: str, queries: int, predictions: Mapping[str, Embeddings]) -> Embeddings:
        if image not in predictions:
            raise MeasurementError(f"image {image!r} has no prediction")
        found = predictions[image]
        if len(found.captions) != queries:
            raise TaskError(
                f"image {image!r}: {len(found.captions)} captions were embedded, it has {queries}"
            )
        return found


def _ratio(above: Counts, below: Counts) -> Floats:
    quotient = np.full(above.shape, np.nan)
    np.divide(above, below[:, None], out=quotient, where=below[:, None] > 0)
    return quotient
