"""Class scores of an image and of crops of it, with pooled features; stored as .npz."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import MeasurementError, TaskError
from icmbench.tasks.answers import Answer
from icmbench.tasks.evaluate import Truth
from icmbench.tasks.metrics.classification_metrics import ClassificationEvaluator

CLASS_SCORES: Final = "class_scores"
NAMED: Final = 5  # best classes whose names are stored
_SUM: Final = 1e-3  # tolerance of a sum of probabilities


@dataclass(frozen=True)
class ClassScores:
    """Scores of one image; the first crop is the square in its middle, resized.

    Attributes:
        scores: float32 (crops, C), logarithms of the classes' probabilities, in nats.
        features: float32 (crops, D), what the last layer gets.
        targets: int64 (K,), index in `scores` of every class of the data set; (0,): it has none.
        names: of the best classes of the first crop, the best one first.
    """

    produces: ClassVar[str] = CLASS_SCORES

    scores: NDArray[np.float32]
    features: NDArray[np.float32]
    targets: NDArray[np.int64]
    names: tuple[str, ...]


def best_classes(scores: NDArray[np.float32], count: int = NAMED) -> NDArray[np.int64]:
    """Indices of the best classes of scores (C,), the best one first; of equal ones the first."""
    return np.argsort(-scores, kind="stable")[:count].astype(np.int64)


class ClassScoreAnswer(Answer):
    """`ClassScores`.

    The reference is always the answers on the originals; labels, where a data set has them, are
    used besides: `Truth.more` has `classes`, names or indices in the network's scores, and
    `labels`, the position in `classes` of every image.
    """

    extension = "npz"
    metrics = ClassificationEvaluator.metrics
    curves = ("top1_agreement", "top1_accuracy", "class_kl", "feature_cosine")
    refers = True

    def encode(self, prediction: ClassScores, size: tuple[int, int] | None) -> bytes:
        """Scores as float32, features as float16; equal answers give equal bytes."""
        _check(prediction)
        arrays: dict[str, NDArray[Any]] = {
            "scores": prediction.scores.astype(np.float32),
            "features": prediction.features.astype(np.float16),
            "targets": prediction.targets.astype(np.int32),
            "names": np.array(prediction.names, np.str_),
        }
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()

    def decode(self, data: bytes) -> ClassScores:
        """The arrays."""
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            found = ClassScores(
                stored["scores"],
                stored["features"].astype(np.float32),
                stored["targets"].astype(np.int64),
                tuple(str(name) for name in stored["names"]),
            )
        if found.scores.dtype != np.float32 or found.scores.ndim != 2 or not found.scores.size:
            raise MeasurementError(f"class scores of {found.scores.dtype} {found.scores.shape}")
        return found

    def annotated(self, truth: Truth) -> bool:
        """True if there are labels, or answers on the originals."""
        return bool(truth.more.get(CLASS_SCORES))

    def needs_originals(self, truth: Truth) -> bool:
        """True: labels do not replace them."""
        return True

    def refer(self, truth: Truth, found: Mapping[str, ClassScores]) -> Truth:
        """The labels, if any, and the answers on the originals beside them."""
        labels: Mapping[str, Any] = truth.more.get(CLASS_SCORES, {})
        return replace(truth, more={**truth.more, CLASS_SCORES: {**labels, "originals": found}})

    def evaluator(self, truth: Truth, images: Sequence[str]) -> ClassificationEvaluator:
        """Of agreement and accuracy; TaskError without answers on the originals."""
        known = truth.more[CLASS_SCORES]
        if "originals" not in known:
            raise TaskError("class scores without those of the originals: `refer` gives them")
        return ClassificationEvaluator(images, known["originals"], known.get("labels", {}))


def _check(found: ClassScores) -> None:
    """TaskError where the parts of an answer do not belong together or have no meaning."""
    shapes = found.scores.shape, found.features.shape
    if len(shapes[0]) != 2 or len(shapes[1]) != 2 or shapes[0][0] != shapes[1][0] or 0 in shapes[0]:
        raise TaskError(f"class scores and features of the shapes {shapes[0]} and {shapes[1]}")
    if not np.isfinite(found.scores).all():
        raise TaskError("a class score is not finite: its divergence is not defined")
    if not np.allclose(np.exp(found.scores.astype(np.float64)).sum(axis=1), 1, atol=_SUM):
        raise TaskError("class scores are no logarithms of probabilities: they do not add up to 1")
    if not (np.abs(found.features) <= np.finfo(np.float16).max).all():
        raise TaskError("a feature is not finite in half precision")
    targets = found.targets
    if targets.ndim != 1 or ((targets < 0) | (targets >= shapes[0][1])).any():
        raise TaskError(f"a class of the data set is none of the {shapes[0][1]} of the scores")


ANSWER = ClassScoreAnswer()
