"""Image classification: agreement with the originals, accuracy, changes of scores and features.

The reference is the answer of the same network on the original. Where images have labels, accuracy
is computed besides. The rank of a class is the number of classes with a higher score, and of those
with an equal one the ones before it, so that equal answers always agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import MeasurementError, TaskError
from icmbench.tasks.metrics.score import Score

if TYPE_CHECKING:
    from icmbench.tasks.answers.class_scores import ClassScores

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

TOP: Final = 5


@dataclass(frozen=True)
class ClassificationCounts:
    """Statistics of one codec spec, one entry per image.

    Attributes:
        crops: int64 (images,), number of its crops.
        agreement: int64 (images, 2), of them, those whose best class on the original is the best
            one, and among the `TOP` best ones.
        distances: float64 (images, 2), sums over its crops of the Kullback-Leibler divergence in
            nats, and of the cosine distance.
        labelled: int64 (images,), 1 where the image has a label.
        right: int64 (images, 2), 1 where it is the best class of the first crop, and among the
            `TOP` best ones.
    """

    crops: Counts
    agreement: Counts
    distances: Floats
    labelled: Counts
    right: Counts


class ClassificationEvaluator:
    """Judges class scores and features.

    Agreement, divergence and distance are means over all crops of all images, accuracy is that of
    the first crop: a label is of the whole image.
    """

    metrics: ClassVar[Mapping[str, Score]] = {
        "top1_agreement": Score("top-1 agreement", True, "share of crops"),
        "top5_agreement": Score("top-5 agreement", True, "share of crops"),
        "top1_accuracy": Score("top-1 accuracy", True, "share of images"),
        "top5_accuracy": Score("top-5 accuracy", True, "share of images"),
        "class_kl": Score("KL divergence", False, "of class scores, nats", inf),
        "feature_cosine": Score("cosine distance", False, "of features, 1 - cosine", 2.0, inf),
    }

    def __init__(
        self,
        images: Sequence[str],
        originals: Mapping[str, ClassScores],
        labels: Mapping[str, int],
    ) -> None:
        """Take the answers on the originals, and the labels of all images or of none.

        Args:
            labels: image -> position of its class in `ClassScores.targets`.

        Raises TaskError naming an image without an answer on the original, or with a label that is
        no class of the data set.
        """
        self.images = list(images)
        self._originals = []
        self._labels = []
        for image in self.images:
            if image not in originals:
                raise TaskError(f"image {image!r} has no class scores on the original")
            original, label = originals[image], labels.get(image, -1)
            if label >= len(original.targets):
                raise TaskError(
                    f"image {image!r}: its label is class {label} of {len(original.targets)}"
                )
            self._originals.append(original)
            self._labels.append(-1 if label < 0 else int(original.targets[label]))

    def count(self, predictions: Mapping[str, ClassScores]) -> ClassificationCounts:
        """Statistics per image of the predictions for one codec spec.

        Raises MeasurementError where an image has no prediction, TaskError where one has other
        crops, classes or features than the original.
        """
        found = len(self.images)
        agreement, right = (np.zeros((found, 2), np.int64) for _ in range(2))
        distances = np.zeros((found, 2))
        crops = np.zeros(found, np.int64)
        for index, (image, original) in enumerate(zip(self.images, self._originals, strict=True)):
            answer = _checked(image, predictions, original)
            before, after = (each.scores.astype(np.float64) for each in (original, answer))
            ranks = _ranks(after, before.argmax(axis=1))
            crops[index] = len(ranks)
            agreement[index] = (ranks == 0).sum(), (ranks < TOP).sum()
            distances[index, 0] = divergence(before, after).sum()
            distances[index, 1] = cosine_distance(original.features, answer.features).sum()
            if self._labels[index] >= 0:
                rank = _ranks(after[:1], np.array([self._labels[index]]))[0]
                right[index] = rank == 0, rank < TOP
        labelled = np.array([label >= 0 for label in self._labels], np.int64)
        return ClassificationCounts(crops, agreement, distances, labelled, right)

    def values(self, counts: ClassificationCounts, weights: Counts) -> dict[str, Floats]:
        """The metrics where image i counts `weights[r, i]` times; nan where no image counts.

        Args:
            weights: int64 (R, images), not negative.

        Returns float64 (R,) per metric.
        """
        if weights.ndim != 2 or weights.shape[1] != len(self.images):
            raise ValueError(f"weights {weights.shape} for {len(self.images)} images")
        crops, labelled = weights @ counts.crops, weights @ counts.labelled
        parts = (
            (weights @ counts.agreement, crops),
            (weights @ counts.right, labelled),
            (weights @ counts.distances, crops),
        )
        columns = np.concatenate([_ratio(above, below) for above, below in parts], axis=1)
        return dict(zip(self.metrics, columns.T, strict=True))


def divergence(before: Floats, after: Floats) -> Floats:
    """Kullback-Leibler divergence (n,) of `after` from `before`, log-probabilities (n, C): nats.

    Sum of p log(p / q) with p of the original and q of the reconstruction; not negative.
    """
    p, q = (each - np.logaddexp.reduce(each, axis=1, keepdims=True) for each in (before, after))
    found: Floats = np.maximum((np.exp(p) * (p - q)).sum(axis=1), 0.0)
    return found


def cosine_distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> Floats:
    """1 - cosine (n,) of vectors (n, D), 0 to 2; of a vector of zeros 0 from itself, else 1."""
    first, second = one.astype(np.float64), other.astype(np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = (first * second).sum(axis=1)
    cosine = np.divide(products, lengths, out=np.zeros(len(first)), where=lengths > 0)
    same = (first == second).all(axis=1)
    return np.where(same, 0.0, np.clip(1 - cosine, 0.0, 2.0))


def _ranks(scores: Floats, classes: Counts) -> Counts:
    """Rank, from 0, of one class per row of scores (n, C)."""
    own = np.take_along_axis(scores, classes[:, None], axis=1)
    before = np.arange(scores.shape[1])[None, :] < classes[:, None]
    ahead = (scores > own) | ((scores == own) & before)
    ranks: Counts = ahead.sum(axis=1)
    return ranks


def _ratio(above: NDArray[np.int64] | Floats, below: Counts) -> Floats:
    quotient = np.full(above.shape, np.nan)
    np.divide(above, below[:, None], out=quotient, where=below[:, None] > 0)
    return quotient


def _checked(
    image: str, predictions: Mapping[str, ClassScores], original: ClassScores
) -> ClassScores:
    if image not in predictions:
        raise MeasurementError(f"image {image!r} has no prediction")
    answer = predictions[image]
    for what in ("scores", "features"):
        one, other = (getattr(each, what).shape for each in (answer, original))
        if one != other:
            raise TaskError(f"image {image!r}: {what} of the shape {one}, of the original {other}")
    return answer
