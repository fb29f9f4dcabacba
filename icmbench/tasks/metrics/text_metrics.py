"""Errors of reading: character error rate, word accuracy, share of lines found.

Read lines are matched to reference lines one to one by their boxes: the assignment with the largest
sum of IoU among pairs of an IoU of at least `OVERLAP`, the threshold of ICDAR's robust reading
competitions (Karatzas et al. 2015). A pair is compared character by character. A reference line
without a partner is compared with the empty text, and so is a read line without one: its characters
are insertions.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from icmbench.core.errors import MeasurementError, TaskError
from icmbench.datasets.text_lines import line_fault
from icmbench.tasks.metrics.edit_distance import common_length, edit_distance
from icmbench.tasks.metrics.score import Score

if TYPE_CHECKING:
    from icmbench.tasks.answers.text import Lines

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

OVERLAP: Final = 0.5  # smallest IoU of a match


@dataclass(frozen=True)
class TextCounts:
    """Statistics of one codec spec, int64 (images,) each.

    Attributes:
        edits: substituted, deleted and inserted characters.
        words: words of the reference that were read.
        found: lines of the reference that a read line matches.
        extra: read lines that match none.
    """

    edits: Counts
    words: Counts
    found: Counts
    extra: Counts


class TextEvaluator:
    """Character error rate, word accuracy and lines found, over all text of a data set."""

    metrics: ClassVar[Mapping[str, Score]] = {
        "cer": Score("character error rate", False, "share of characters", inf, 1.0),
        "word_accuracy": Score("word accuracy", True, "share of words"),
        "lines_found": Score("lines found", True, "share of lines"),
        "extra_lines": Score("extra lines per image", False, most=inf),
    }

    def __init__(
        self, images: Sequence[str], lines: Mapping[str, Sequence[Mapping[str, Any]]]
    ) -> None:
        """`lines` as in `icmbench.datasets.text_lines`.

        Raises TaskError naming an image without an entry or with a malformed line, and where none
        of several images has a line. That one alone has none is no fault: faults of a data set are
        searched for image by image.
        """
        self.images = list(images)
        self._texts, self._boxes = [], []
        for image in self.images:
            texts, boxes = _reference(image, lines)
            self._texts.append(texts)
            self._boxes.append(boxes)
        if len(self.images) > 1 and not any(self._texts):
            raise TaskError("no image has a line of text: there is nothing to read")
        self._characters = _counted(sum(map(len, texts)) for texts in self._texts)
        self._words = _counted(sum(len(t.split()) for t in texts) for texts in self._texts)
        self._lines = _counted(len(texts) for texts in self._texts)

    def count(self, predictions: Mapping[str, Lines]) -> TextCounts:
        """Statistics per image of what was read at one codec spec.

        Raises MeasurementError naming an image without a prediction.
        """
        rows = []
        for image, texts, boxes in zip(self.images, self._texts, self._boxes, strict=True):
            if image not in predictions:
                raise MeasurementError(f"image {image!r} has no prediction")
            found = predictions[image]
            read = [normalised(text) for text in found.texts]
            pairs = match_lines(boxes, found.boxes)
            rows.append(reading_errors(texts, read, pairs))
        table = np.array(rows, np.int64).reshape(-1, 4)
        return TextCounts(*(table[:, column] for column in range(4)))

    def values(self, counts: TextCounts, weights: Counts) -> dict[str, Floats]:
        """The metrics where image i counts `weights[r, i]` times; nan where no text counts.

        Args:
            weights: int64 (R, images), not negative.

        Returns float64 (R,) per metric.
        """
        if weights.ndim != 2 or weights.shape[1] != len(self.images):
            raise ValueError(f"weights {weights.shape} for {len(self.images)} images")
        return {
            "cer": _ratio(weights @ counts.edits, weights @ self._characters),
            "word_accuracy": _ratio(weights @ counts.words, weights @ self._words),
            "lines_found": _ratio(weights @ counts.found, weights @ self._lines),
            "extra_lines": _ratio(weights @ counts.extra, weights.sum(axis=1)),
        }


def normalised(text: str) -> str:
    """Text as it is compared: Unicode NFC, runs of white space as one space, none at the ends.

    Case, punctuation and accents count.
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def match_lines(reference: Floats, read: Floats) -> list[tuple[int, int]]:
    """Pairs of matching lines, sorted: the assignment with the largest sum of IoU.

    Args:
        reference, read: boxes (n, 4, 2) and (m, 4, 2).
    """
    overlaps = box_overlaps(reference, read)
    overlaps[overlaps < OVERLAP] = 0
    rows, columns = linear_sum_assignment(overlaps, maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return sorted((row, column) for row, column in pairs if overlaps[row, column] > 0)


def box_overlaps(first: Floats, second: Floats) -> Floats:
    """IoU (n, m) of boxes (n, 4, 2) and (m, 4, 2); boxes are the convex hulls of their corners."""
    a, b = (shapely.convex_hull(shapely.multipoints(boxes)) for boxes in (first, second))
    shared = shapely.area(shapely.intersection(a[:, None], b[None, :]))
    joined = shapely.area(a)[:, None] + shapely.area(b)[None, :] - shared
    overlaps: Floats = np.divide(shared, joined, out=np.zeros_like(shared), where=joined > 0)
    return overlaps


def reading_errors(
    reference: Sequence[str], read: Sequence[str], pairs: Sequence[tuple[int, int]]
) -> tuple[int, int, int, int]:
    """Edits, words read, lines found and extra lines of an image.

    Args:
        reference, read: texts of the lines, normalised.
        pairs: of `match_lines`.
    """
    missed = set(range(len(reference))) - {row for row, _ in pairs}
    extra = set(range(len(read))) - {column for _, column in pairs}
    edits = sum(edit_distance(reference[row], read[column]) for row, column in pairs)
    edits += sum(len(reference[row]) for row in missed)
    edits += sum(len(read[column]) for column in extra)
    words = sum(common_length(reference[r].split(), read[c].split()) for r, c in pairs)
    return edits, words, len(pairs), len(extra)


def _reference(
    image: str, lines: Mapping[str, Sequence[Mapping[str, Any]]]
) -> tuple[list[str], Floats]:
    """Texts and boxes (n, 4, 2) of an image's annotated lines."""
    if image not in lines:
        raise TaskError(f"image {image!r} has no lines of text, not even an empty list")
    for number, line in enumerate(lines[image], start=1):
        if fault := line_fault(line):
            raise TaskError(f"image {image!r}, line {number}: {fault}")
    boxes = np.array([line["box"] for line in lines[image]], np.float64).reshape(-1, 4, 2)
    return [normalised(line["text"]) for line in lines[image]], boxes


def _counted(values: Any) -> Counts:
    return np.array(list(values), np.int64)


def _ratio(sums: Counts, whole: Counts) -> Floats:
    return np.where(whole > 0, sums / np.maximum(whole, 1), np.nan)
