"""Keypoints of persons, stored as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import TaskError
from icmbench.tasks.answers import Answer
from icmbench.tasks.answers.numbers import rounded, score, to_json
from icmbench.tasks.evaluate import Truth
from icmbench.tasks.metrics.keypoint_metrics import KeypointEvaluator

KEYPOINTS = "keypoints"


@dataclass(frozen=True)
class Keypoints:
    """Keypoints of the persons of one image.

    Attributes:
        points: float64 (n, K, 2), x and y as in COCO's files: 0 is the first pixel.
        scores: float64 (n,).
    """

    produces: ClassVar[str] = KEYPOINTS

    points: NDArray[np.float64]
    scores: NDArray[np.float64]


class KeypointAnswer(Answer):
    """`Keypoints`; the boxes of the annotated persons are given."""

    extension = "json"
    metrics = KeypointEvaluator.metrics
    curves = ("oks_map50", "oks_map")

    def encode(self, prediction: Keypoints, size: tuple[int, int] | None) -> bytes:
        """A list of persons: score, and pairs x, y."""
        points, scores = prediction.points, prediction.scores
        if points.ndim != 3 or points.shape[2] != 2 or scores.shape != points.shape[:1]:
            raise TaskError(f"points and scores of the shapes {points.shape} and {scores.shape}")
        if not (np.isfinite(points).all() and np.isfinite(scores).all()):
            raise TaskError("a point or a score is not finite")
        return to_json(
            [
                {"score": score(value), "points": [rounded(point) for point in person]}
                for person, value in zip(points, scores, strict=True)
            ]
        )

    def decode(self, data: bytes) -> Keypoints:
        """The persons, as rounded."""
        persons = json.loads(data)
        points = np.array([person["points"] for person in persons], np.float64)
        scores = np.array([person["score"] for person in persons], np.float64)
        return Keypoints(points.reshape(len(persons), -1 if persons else 0, 2), scores)

    def given(self, truth: Truth, image_id: str) -> list[list[float]]:
        """Boxes x, y, width, height of the persons with annotated points, no crowds."""
        persons = truth.more.get("keypoints", {}).get("persons", {}).get(image_id, [])
        return [
            list(person["bbox"])
            for person in persons
            if not person["iscrowd"] and any(person["keypoints"][2::3])
        ]

    def annotated(self, truth: Truth) -> bool:
        """True if there are persons with keypoints."""
        return bool(truth.more.get("keypoints"))

    def evaluator(self, truth: Truth, images: Sequence[str]) -> KeypointEvaluator:
        """Of OKS."""
        return KeypointEvaluator(images, truth.more["keypoints"])


ANSWER = KeypointAnswer()
