"""Facial landmarks, stored as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from icmbench.core.errors import TaskError
from icmbench.tasks.answers import Answer
from icmbench.tasks.answers.numbers import rounded, to_json
from icmbench.tasks.base import Faces
from icmbench.tasks.evaluate import Truth
from icmbench.tasks.metrics.landmark_metrics import LandmarkEvaluator

POINTS: Final = (68, 98)  # of a face


class Landmarks(Answer):
    """`icmbench.tasks.base.Faces`; the boxes of the annotated faces are given.

    Faces without points are judged against the points that were found on the originals.
    """

    extension = "json"
    metrics = LandmarkEvaluator.metrics
    refers = True

    def encode(self, prediction: Faces, size: tuple[int, int] | None) -> bytes:
        """A list of faces, of pairs x, y each."""
        shapes = [(points, 2) for points in POINTS]
        if prediction.dtype != np.float64 or prediction.shape[1:] not in shapes:
            raise TaskError(f"{prediction.dtype} {prediction.shape} is no list of faces")
        if not np.isfinite(prediction).all():
            raise TaskError("a landmark is not finite")
        return to_json([[rounded(point) for point in face] for face in prediction])

    def decode(self, data: bytes) -> Faces:
        """float64 (faces, points, 2)."""
        value = json.loads(data)
        points = len(value[0]) if value else POINTS[0]
        return np.array(value, np.float64).reshape(len(value), points, 2)

    def given(self, truth: Truth, image_id: str) -> list[list[float]]:
        """Boxes x, y, width, height of the annotated faces."""
        return truth.face_boxes(image_id)

    def annotated(self, truth: Truth) -> bool:
        """True if there are faces."""
        return bool(truth.landmarks)

    def needs_originals(self, truth: Truth) -> bool:
        """True if a face has no points."""
        return not all("landmarks" in f for faces in truth.landmarks.values() for f in faces)

    def refer(self, truth: Truth, found: Mapping[str, Faces]) -> Truth:
        """The annotated faces with the points of `found`.

        Raises TaskError naming an image of which there are not as many faces.
        """
        faces: dict[str, Any] = {}
        for name, points in found.items():
            boxes = truth.landmarks[name]
            if len(points) != len(boxes):
                raise TaskError(f"image {name!r}: {len(boxes)} faces, {len(points)} found in it")
            faces[name] = [
                {**face, "landmarks": each.tolist()}
                for face, each in zip(boxes, points, strict=True)
            ]
        return replace(truth, landmarks=faces)

    def evaluator(self, truth: Truth, images: Sequence[str]) -> LandmarkEvaluator:
        """Of NME; TaskError for faces without points."""
        if self.needs_originals(truth):
            raise TaskError("faces without points: `refer` gives them")
        return LandmarkEvaluator(images, truth.landmarks)


ANSWER = Landmarks()
