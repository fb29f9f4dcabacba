"""Segmentation metrics: mean IoU, mean accuracy, pixel accuracy, as in mmsegmentation.

All are ratios of pixels summed over images, no means of images; an image's confusion matrix is
all that is needed of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from icmbench.core.errors import MeasurementError, TaskError
from icmbench.tasks.base import SemanticMap
from icmbench.tasks.metrics.score import Score

NO_CLASS: Final = 255  # in a prediction: a class that the data set does not have, never right

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class SegmentationEvaluator:
    """Judges semantic maps of the images of a data set against its own."""

    metrics: ClassVar[Mapping[str, Score]] = {
        "miou": Score("mIoU", True),
        "macc": Score("mean class accuracy", True),
        "aacc": Score("pixel accuracy", True),
    }

    def __init__(
        self, images: Sequence[str], maps: Mapping[str, Path], classes: Sequence[str], ignore: int
    ) -> None:
        """Take the maps of `images`; they are read when predictions are counted.

        Args:
            classes: names; a class's index is its value in the maps.
            ignore: value of pixels that are not judged.

        Raises TaskError naming the image that has no map, and where there are no classes or too
        many for a byte.
        """
        for name in images:
            if name not in maps:
                raise TaskError(f"image {name!r} has no semantic map")
        if not 0 < len(classes) <= NO_CLASS:
            raise TaskError(f"{len(classes)} classes: semantic maps have 1 to {NO_CLASS}")
        self.images = list(images)
        self._maps = {name: Path(maps[name]) for name in images}
        self._classes = len(classes)
        self._ignore = ignore

    def count(self, predictions: Mapping[str, SemanticMap]) -> Counts:
        """Confusion matrices int64 (images, C, C + 1): pixels of true class, predicted class.

        The last column is NO_CLASS, which only adds to what was missed, as in mmsegmentation.

        Raises MeasurementError where an image has no prediction; TaskError naming the file where a
        map is missing, damaged, of another size than the prediction or holds a value that is no
        class, and naming the image where a prediction holds one.
        """
        matrices = np.zeros((len(self.images), self._classes, self._classes + 1), np.int64)
        for place, name in enumerate(self.images):
            if name not in predictions:
                raise MeasurementError(f"image {name!r} has no prediction")
            matrices[place] = self._confusion(name, predictions[name])
        return matrices

    def values(self, counts: Counts, weights: Counts) -> dict[str, Floats]:
        """The metrics where image i counts `weights[r, i]` times, float64 (R,) each.

        With P pixels of a class in the predictions, T in the maps and B in both, ignored pixels
        left out:

        - `miou`: mean of B / (P + T - B) over the classes of which the draw shows any, in the maps
          or in the predictions.
        - `macc`: mean of B / T over the classes that the draw's maps show.
        - `aacc`: share of the pixels that are right.

        nan where there is nothing to judge.

        Args:
            counts: of `count`.
            weights: int64 (R, images), not negative.
        """
        if weights.ndim != 2 or weights.shape[1] != len(self.images):
            raise ValueError(f"weights {weights.shape} for {len(self.images)} images")
        # In floating point for the speed of BLAS: whole numbers below 2^53 are exact.
        drawn = weights.astype(np.float64)
        both = drawn @ np.einsum("icc->ic", counts[:, :, :-1]).astype(np.float64)
        true = drawn @ counts.sum(axis=2).astype(np.float64)
        predicted = drawn @ counts[:, :, :-1].sum(axis=1).astype(np.float64)
        return {
            "miou": _mean(both, true + predicted - both),
            "macc": _mean(both, true),
            "aacc": _mean(both.sum(axis=1, keepdims=True), true.sum(axis=1, keepdims=True)),
        }

    def _confusion(self, name: str, predicted: SemanticMap) -> Counts:
        true = self._true(name)
        if true.shape != predicted.shape:
            raise TaskError(
                f"{self._maps[name]}: the map has {true.shape[1]}x{true.shape[0]} pixels, the "
                f"prediction {predicted.shape[1]}x{predicted.shape[0]}"
            )
        judged = true != self._ignore
        found = predicted[judged].astype(np.int64)
        strange = found[(found >= self._classes) & (found != NO_CLASS)]
        if len(strange):
            raise TaskError(
                f"image {name!r}: the prediction holds {strange[0]}, there are {self._classes} "
                f"classes"
            )
        found[found == NO_CLASS] = self._classes
        columns = self._classes + 1
        pairs = true[judged].astype(np.int64) * columns + found
        return np.bincount(pairs, minlength=self._classes * columns).reshape(-1, columns)

    def _true(self, name: str) -> SemanticMap:
        path = self._maps[name]
        try:
            with PillowImage.open(path) as picture:
                if picture.mode not in ("L", "P"):
                    raise TaskError(f"{path}: mode {picture.mode}; a map has one channel of 8 bits")
                true: SemanticMap = np.array(picture)
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
            raise TaskError(f"{path}: not a readable map: {error}") from error
        if strange := set(np.unique(true).tolist()) - {*range(self._classes), self._ignore}:
            raise TaskError(f"{path}: holds {min(strange)}, there are {self._classes} classes")
        return true


def _mean(above: Floats, below: Floats) -> Floats:
    """Row means of the quotients whose divisor is not 0; nan where there is none."""
    defined = below > 0
    quotient = np.divide(above, below, out=np.zeros_like(above), where=defined)
    number = defined.sum(axis=1)
    mean = np.full(len(above), np.nan)
    np.divide(quotient.sum(axis=1), number, out=mean, where=number > 0)
    return mean
