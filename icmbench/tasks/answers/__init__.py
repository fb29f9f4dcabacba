"""Kinds of answers of a task, one module each: their file format, their metrics, their reference.

A task names the kind that it produces; nothing else of the workflow knows the kinds. A module has
an object `ANSWER`. The kind is the module's name, or the dotted name of a module elsewhere. Figures
of predictions are drawn by a module of the same name in `icmbench.reporting.figures.answers`, where
there is one.

Answers are judged against annotations, or against the answers that the same model gave on the
originals (`ORIGINALS`): how much coding changed, whether the model was right or not.
"""

from __future__ import annotations

import importlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from icmbench.core.errors import TaskError
from icmbench.tasks.metrics.score import Score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from icmbench.tasks.base import Prediction
    from icmbench.tasks.evaluate import Truth


class Evaluator(Protocol):
    """Judges one codec spec's predictions of all images of a data set, in two steps."""

    @property
    def metrics(self) -> Mapping[str, Score]:
        """The metrics by name, in the order of tables."""

    def count(self, predictions: Mapping[str, Any]) -> Any:
        """Count the statistics of every image that the metrics need: slow, once per codec spec."""

    def values(self, counts: Any, weights: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """Metrics (R,) where image i counts `weights[r, i]` times; weights of 1: the data set's."""


class Answer(ABC):
    """A kind of answers.

    Attributes:
        extension: of the files of stored answers, without the dot.
        metrics: as `Evaluator.metrics`.
        curves: metrics that are drawn against rate, in the order of panels; (): all.
        refers: answers on the originals can be the reference of its metrics.
    """

    extension: ClassVar[str]
    metrics: ClassVar[Mapping[str, Score]]
    curves: ClassVar[Sequence[str]] = ()
    refers: ClassVar[bool] = False

    @abstractmethod
    def encode(self, prediction: Any, size: tuple[int, int] | None) -> bytes:
        """Content of an answer's file; TaskError for an answer that is malformed or not finite.

        Args:
            size: height and width of the image.
        """

    @abstractmethod
    def decode(self, data: bytes) -> Prediction:
        """The answer of a file's content.

        Raises MeasurementError, KeyError, TypeError, ValueError or AttributeError where the content
        is another.
        """

    def given(self, truth: Truth, image_id: str) -> Sequence[Any]:
        """Annotations of an image that the task is given: boxes, captions; by default none."""
        return ()

    @abstractmethod
    def annotated(self, truth: Truth) -> bool:
        """True if the data set has annotations of this kind."""

    def needs_originals(self, truth: Truth) -> bool:
        """True if the reference is the model's answers on the originals: no annotations."""
        return self.refers and not self.annotated(truth)

    def refer(self, truth: Truth, found: Mapping[str, Any]) -> Truth:
        """Annotations that are the model's answers on the originals; only where `refers`.

        Args:
            found: image id -> answer on the original.

        Raises TaskError naming an image whose answer cannot be a reference.
        """
        raise TaskError(f"{type(self).__name__}: answers on the originals cannot be its reference")

    @abstractmethod
    def evaluator(self, truth: Truth, images: Sequence[str]) -> Evaluator:
        """The evaluator for these images; TaskError for malformed annotations."""


def answer_module(kind: str) -> str:
    """Name of the module of a kind; TaskError for an unknown one."""
    name = kind if "." in kind else f"{__name__}.{kind}"
    if importlib.util.find_spec(name) is None:
        raise TaskError(f"unknown kind of answers {kind!r}: there is no module {name}")
    return name


def answer_of(kind: str) -> Answer:
    """A kind of answers by name; TaskError for an unknown one."""
    found: Answer = importlib.import_module(answer_module(kind)).ANSWER
    return found
