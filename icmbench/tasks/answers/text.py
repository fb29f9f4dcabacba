"""Lines of text that were read, stored as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import TaskError
from icmbench.datasets.text_lines import SMALLEST, TEXT, hull_area
from icmbench.tasks.answers import Answer
from icmbench.tasks.answers.numbers import rounded, score, to_json
from icmbench.tasks.evaluate import Truth
from icmbench.tasks.metrics.text_metrics import TextEvaluator


@dataclass(frozen=True)
class Lines:
    """Lines of text read in one image.

    Attributes:
        texts: of every line.
        boxes: float64 (n, 4, 2), corners x and y in pixels, clockwise from the top left.
        scores: float64 (n,), 0 to 1.
    """

    produces: ClassVar[str] = TEXT

    texts: tuple[str, ...]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]


class TextAnswer(Answer):
    """`Lines`, judged against known text or against the text that was read on the originals."""

    extension = "json"
    metrics = TextEvaluator.metrics
    curves = ("cer", "word_accuracy", "lines_found")
    refers = True

    def encode(self, prediction: Lines, size: tuple[int, int] | None) -> bytes:
        """A list of lines: text, score, and box, four pairs x, y."""
        texts, boxes, scores = prediction.texts, prediction.boxes, prediction.scores
        count = len(texts)
        if boxes.shape != (count, 4, 2) or scores.shape != (count,):
            raise TaskError(
                f"{count} texts with boxes and scores of the shapes {boxes.shape}, {scores.shape}"
            )
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise TaskError("a box or a score of a line is not finite")
        if empty := [text for text in texts if not text.strip()]:
            raise TaskError(f"a line that was read has no text: {empty[0]!r}")
        lines = [
            {"text": text, "score": score(value), "box": [rounded(corner) for corner in box]}
            for text, value, box in zip(texts, scores, boxes, strict=True)
        ]
        return to_json(lines)

    def decode(self, data: bytes) -> Lines:
        """The lines, as rounded."""
        lines = json.loads(data)
        boxes = np.array([line["box"] for line in lines], np.float64).reshape(-1, 4, 2)
        scores = np.array([line["score"] for line in lines], np.float64)
        return Lines(tuple(line["text"] for line in lines), boxes, scores)

    def annotated(self, truth: Truth) -> bool:
        """True if there is known text."""
        return bool(truth.more.get(TEXT))

    def refer(self, truth: Truth, found: Mapping[str, Lines]) -> Truth:
        """The lines of `found` as known text; lines without area are left out.

        Raises TaskError where nothing was read in any of several images (see `TextEvaluator`).
        """
        lines = {
            image: [
                {"text": text, "box": box.tolist()}
                for text, box in zip(each.texts, each.boxes, strict=True)
                if hull_area(box) >= SMALLEST
            ]
            for image, each in found.items()
        }
        if len(lines) > 1 and not any(lines.values()):
            raise TaskError("no text was read on the originals: there is nothing to compare with")
        return replace(truth, more={**truth.more, TEXT: lines})

    def evaluator(self, truth: Truth, images: Sequence[str]) -> TextEvaluator:
        """Of character error rate, word accuracy and lines found."""
        return TextEvaluator(images, truth.more[TEXT])


ANSWER = TextAnswer()
