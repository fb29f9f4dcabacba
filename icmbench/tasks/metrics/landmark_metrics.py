"""Landmark error: the mean distance of a face's points, in distances between its eyes.

NME divides by the distance of the outer eye corners, as 300-W does (Sagonas et al. 2016); a
face whose NME is above `FAILURE` has failed (Kowalski et al. 2017).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import TaskError
from icmbench.datasets.faces import EYES
from icmbench.tasks.base import Faces, Floats
from icmbench.tasks.metrics.score import Score

# NME above which a face has failed, by the number of its points: practice of 300-W, of WFLW.
FAILURE: Final = {68: 0.08, 98: 0.10}

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class LandmarkCounts:
    """Statistics of one codec spec, one entry per image.

    Attributes:
        errors: float64 (images,), sum of its faces' NME.
        faces: int64 (images,), faces that are judged.
        failures: int64 (images,), of them, those above `FAILURE`.
    """

    errors: Floats
    faces: Counts
    failures: Counts


@dataclass(frozen=True)
class _Truth:
    """An image: points (n, P, 2), which are judged (n, P), distance of the eyes (n,)."""

    points: Floats
    judged: NDArray[np.bool_]
    eyes: Floats


class LandmarkEvaluator:
    """NME and failure rate over all faces of a data set; images without faces do not count."""

    metrics: ClassVar[Mapping[str, Score]] = {
        "nme": Score("NME", False, "share of the eye distance", inf),
        "failure_rate": Score("failure rate", False, "share of faces"),
    }

    def __init__(
        self, images: Sequence[str], landmarks: Mapping[str, Sequence[Mapping[str, Any]]]
    ) -> None:
        """`landmarks` as in `icmbench.datasets.base.Annotations`; `inside` of a face is optional.

        Points that are not `inside` the frame are not judged, nor is a face without any inside.
        Raises TaskError naming the image where its landmarks are missing, not 68 or 98, of another
        number than in other images, not finite, or where a face's eye corners coincide.
        """
        self.images = list(images)
        for image in self.images:
            if image not in landmarks:
                raise TaskError(
                    f"image {image!r} has no landmarks, not even an empty list of faces"
                )
        faces = [face for image in self.images for face in landmarks[image]]
        first = np.shape(faces[0]["landmarks"])[0] if faces else 0
        self._points = first if first in FAILURE else next(iter(FAILURE))
        self._truth = [_truth(image, landmarks[image], self._points) for image in self.images]

    def count(self, predictions: Mapping[str, Faces]) -> LandmarkCounts:
        """Statistics per image of the predictions for one codec spec.

        Raises TaskError naming the image that has no prediction, another number of faces than
        annotated, or a value that is not finite.
        """
        errors = np.zeros(len(self.images))
        faces, failures = (np.zeros(len(self.images), np.int64) for _ in range(2))
        for index, (image, truth) in enumerate(zip(self.images, self._truth, strict=True)):
            found = _checked(image, predictions, truth.points.shape)
            judged = truth.judged.any(axis=1)
            distances = np.linalg.norm(found - truth.points, axis=2) * truth.judged
            means = distances[judged].sum(axis=1) / truth.judged[judged].sum(axis=1)
            nme = means / truth.eyes[judged]
            errors[index] = nme.sum()
            faces[index] = judged.sum()
            failures[index] = (nme > FAILURE[self._points]).sum()
        return LandmarkCounts(errors, faces, failures)

    def values(self, counts: LandmarkCounts, weights: Counts) -> dict[str, Floats]:
        """The metrics where image i counts `weights[r, i]` times; nan where no face counts.

        Args:
            weights: int64 (R, images), not negative.

        Returns float64 (R,) per metric.
        """
        if weights.ndim != 2 or weights.shape[1] != len(self.images):
            raise ValueError(f"weights {weights.shape} for {len(self.images)} images")
        faces = weights @ counts.faces
        return {
            "nme": _ratio(weights @ counts.errors, faces),
            "failure_rate": _ratio(weights @ counts.failures, faces),
        }


def _ratio(sums: NDArray[Any], faces: Counts) -> Floats:
    return np.where(faces > 0, sums / np.maximum(faces, 1), np.nan)


def _truth(image: str, faces: Sequence[Mapping[str, Any]], count: int) -> _Truth:
    """The annotated faces of an image as arrays; see `LandmarkEvaluator`."""
    points = np.zeros((len(faces), count, 2))
    judged = np.ones((len(faces), count), bool)
    for number, face in enumerate(faces):
        where = f"image {image!r}, face {number + 1}"
        shape = np.shape(face["landmarks"])
        if shape != (count, 2):
            raise TaskError(f"{where}: landmarks of the shape {shape}, expected ({count}, 2)")
        points[number] = face["landmarks"]
        if "inside" in face:
            if np.shape(face["inside"]) != (count,):
                raise TaskError(f"{where}: `inside` is not {count} truth values")
            judged[number] = face["inside"]
        if not np.isfinite(points[number]).all():
            raise TaskError(f"{where}: an annotated landmark is not finite")
    eyes = np.linalg.norm(points[:, EYES[count][0]] - points[:, EYES[count][1]], axis=1)
    if not (eyes > 0).all():
        number = int(np.argmin(eyes)) + 1
        raise TaskError(f"image {image!r}, face {number}: its outer eye corners coincide")
    return _Truth(points, judged, eyes)


def _checked(image: str, predictions: Mapping[str, Faces], shape: tuple[int, ...]) -> Faces:
    if image not in predictions:
        raise TaskError(f"image {image!r}: no landmarks were predicted")
    found = predictions[image]
    if found.shape != shape and (len(found) or shape[0]):  # a model of no face has no points
        raise TaskError(
            f"image {image!r}: predicted landmarks have the shape {found.shape}, expected "
            f"{shape}: one face per annotated face"
        )
    if not np.isfinite(found).all():
        raise TaskError(f"image {image!r}: a predicted landmark is not finite")
    return found
