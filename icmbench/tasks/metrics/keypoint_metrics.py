"""Average precision of keypoints by object keypoint similarity, as COCO's keypoint evaluation.

https://cocodataset.org/#keypoints-eval. The similarity is pycocotools' own; matching and precision
are equal to its `COCOeval` for all areas and 20 persons an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import MeasurementError, TaskError
from icmbench.tasks.metrics.average_precision import (
    HIT,
    IGNORED,
    MISS,
    THRESHOLDS,
    Ranked,
    average_precision,
    category_means,
    rank,
)
from icmbench.tasks.metrics.score import Score

if TYPE_CHECKING:
    from icmbench.tasks.answers.keypoints import Keypoints

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

MAX_PERSONS: Final = 20  # of an image, by score
# Standard deviation of annotators by point, in square roots of the person's area (COCO).
SIGMAS: Final = np.array(
    [0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107,
     0.087, 0.087, 0.089, 0.089]
)  # fmt: skip


@dataclass(frozen=True)
class _Persons:
    """Annotated persons of an image, those that are to be found first.

    Attributes:
        points: (n, 17, 3), x, y, v.
        boxes: (n, 4), x, y, width, height.
        areas: (n,).
        crowd, ignored: (n,); what is found of an ignored person is neither right nor wrong.
    """

    points: Floats
    boxes: Floats
    areas: Floats
    crowd: NDArray[np.bool_]
    ignored: NDArray[np.bool_]


class KeypointEvaluator:
    """Judges keypoints of persons against those of COCO's annotations."""

    metrics: ClassVar[Mapping[str, Score]] = {
        "oks_map": Score("OKS mAP", True),
        "oks_map50": Score("OKS AP50", True),
        "oks_map75": Score("OKS AP75", True),
    }

    def __init__(self, images: Sequence[str], truth: Mapping[str, Any]) -> None:
        """`truth` as `icmbench.datasets.coco_more.read_keypoints` gives it.

        Raises TaskError naming an image that is not in it, and for other points than COCO's 17.
        """
        if len(truth["keypoints"]) != len(SIGMAS):
            raise TaskError(
                f"{len(truth['keypoints'])} keypoints a person: OKS is defined for COCO's 17"
            )
        for image in images:
            if image not in truth["persons"]:
                raise TaskError(f"image {image!r} has no keypoints, not even an empty list")
        self.images = list(images)
        self._persons = [_persons(truth["persons"][image]) for image in images]

    def count(self, predictions: Mapping[str, Keypoints]) -> Ranked:
        """Match the persons of every image.

        Raises MeasurementError where an image has no prediction, TaskError where it has another
        number of points.
        """
        columns, scores, verdicts = [], [], []
        for column, (image, persons) in enumerate(zip(self.images, self._persons, strict=True)):
            if image not in predictions:
                raise MeasurementError(f"image {image!r} has no prediction")
            found = predictions[image]
            if len(found.scores) and found.points.shape[1] != len(SIGMAS):
                raise TaskError(f"image {image!r}: {found.points.shape[1]} points, not 17")
            best = np.argsort(-found.scores, kind="stable")[:MAX_PERSONS]
            columns.append(np.full(len(best), column))
            scores.append(found.scores[best])
            verdicts.append(_match(similarity(found.points[best], persons), persons))
        none = np.zeros((len(THRESHOLDS), 0), np.int8)
        return rank(
            np.concatenate([np.zeros(0, np.int64), *columns]),
            np.concatenate([np.zeros(0), *scores]),
            np.concatenate([none, *verdicts], axis=1),
        )

    def values(self, counts: Ranked, weights: Counts) -> dict[str, Floats]:
        """The metrics where image i counts `weights[r, i]` times, float64 (R,); nan: no person.

        Equal to pycocotools' `stats[:3]` for keypoints.
        """
        if weights.ndim != 2 or weights.shape[1] != len(self.images):
            raise ValueError(f"weights {weights.shape} for {len(self.images)} images")
        wanted = np.array([(~persons.ignored).sum() for persons in self._persons], np.int64)
        positives = weights @ wanted
        precision = average_precision(counts, np.maximum(positives, 1), weights)
        mean = category_means([(precision, positives)], len(weights))
        return {"oks_map": mean.mean(axis=0), "oks_map50": mean[0], "oks_map75": mean[5]}


def _persons(annotations: Sequence[Mapping[str, Any]]) -> _Persons:
    points = np.array([a["keypoints"] for a in annotations], np.float64).reshape(-1, len(SIGMAS), 3)
    crowd = np.array([bool(a["iscrowd"]) for a in annotations], bool)
    ignored = crowd | ~(points[:, :, 2] > 0).any(axis=1)
    order = np.argsort(ignored, kind="stable")
    boxes = np.array([a["bbox"] for a in annotations], np.float64).reshape(-1, 4)
    areas = np.array([a["area"] for a in annotations], np.float64)
    return _Persons(points[order], boxes[order], areas[order], crowd[order], ignored[order])


def similarity(points: Floats, persons: _Persons) -> Floats:
    """Object keypoint similarity (found, annotated).

    Of a person without annotated points by the distance from twice its box.
    """
    found = np.zeros((len(points), len(persons.areas)))
    for column, annotated in enumerate(persons.points):
        shown = annotated[:, 2] > 0
        offset = points - annotated[None, :, :2]
        if not shown.any():
            corner, size = persons.boxes[column, :2], persons.boxes[column, 2:]
            low, high = corner - size, corner + 2 * size
            offset = np.maximum(0, low - points) + np.maximum(0, points - high)
            shown = np.ones_like(shown)
        distance = (offset**2).sum(axis=2) / (2 * SIGMAS) ** 2
        distance /= (persons.areas[column] + np.spacing(1)) * 2
        found[:, column] = np.exp(-distance[:, shown]).mean(axis=1)
    return found


def _match(similar: Floats, persons: _Persons) -> NDArray[np.int8]:
    """COCO's greedy matching of one image: int8 (10 thresholds, found).

    Args:
        similar: (found, annotated), found ones by falling score.
    """
    verdict = np.full((len(THRESHOLDS), len(similar)), MISS, np.int8)
    for level, threshold in enumerate(THRESHOLDS):
        taken = np.zeros(len(persons.areas), bool)
        for index, row in enumerate(similar):
            for ignored in (False, True):  # an ignored person only where no other one fits
                free = (persons.ignored == ignored) & (~taken | persons.crowd)
                fits = np.flatnonzero(free & (row >= min(threshold, 1 - 1e-10)))
                if len(fits):
                    chosen = fits[::-1][np.argmax(row[fits[::-1]])]  # the last one of equals
                    taken[chosen] = True
                    verdict[level, index] = IGNORED if ignored else HIT
                    break
    return verdict
