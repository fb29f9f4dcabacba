"""Score of a task on reconstructions of images, against the answers on these images themselves.

`icmbench encode --target` chooses an operating point by it: the rate at which a machine still finds
what it finds in the originals. The models are those that need neither options nor annotations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from icmbench.core.devices import use_device
from icmbench.core.errors import MeasurementError, TaskError
from icmbench.tasks import store
from icmbench.tasks.answers import answer_of
from icmbench.tasks.base import Image, Labels, Task
from icmbench.tasks.evaluate import Truth
from icmbench.tasks.registry import kinds, make_task


def task_scores() -> dict[str, tuple[str, str]]:
    """Names of the scores that a judge can give -> kind of the task, metric; sorted.

    A score is called ``<kind>_<metric>``, and where no other has that metric, by the metric alone:
    ``top5_agreement``, or ``top5``, since the reference is always the originals.
    """
    pairs = list(_pairs())
    found = {f"{kind.replace('-', '_')}_{metric}": (kind, metric) for kind, metric in pairs}
    metrics = [metric for _, metric in pairs]
    alone = {metric: (kind, metric) for kind, metric in pairs if metrics.count(metric) == 1}
    found |= alone | {metric.removesuffix("_agreement"): pair for metric, pair in alone.items()}
    return dict(sorted(found.items()))


def _pairs() -> Iterator[tuple[str, str]]:
    for name, kind in kinds().items():
        complete = not any(option.required for option in kind.options.values())
        if complete and not kind.needs_annotations:
            yield from ((name, metric) for metric in answer_of(kind.produces).metrics)


class TaskJudge:
    """A task's score over a list of images, with its answers on the originals as the reference."""

    def __init__(
        self, kind: str, metric: str, images: Sequence[Image], device: str = "cpu"
    ) -> None:
        """Load the model and run it on the originals.

        Raises ModelError and TaskError as the task does, TaskError where it finds nothing in the
        originals that the metric could judge, and ConfigError for cuda where there is none.
        """
        self.name = f"{kind.replace('-', '_')}_{metric}"
        self._metric = metric
        self._task = _loaded(kind, device)
        self._answer = answer_of(self._task.produces)
        self._names = [str(number) for number in range(len(images))]
        truth = self._answer.refer(Truth(), self._answers(images))
        self._evaluator = self._answer.evaluator(truth, self._names)
        score = self._answer.metrics[metric]
        self.unit, self.higher_is_better = "", score.higher_is_better
        if np.isnan(self._score(images)):
            raise TaskError(f"{self.name}: there is nothing in the originals that it could judge")

    def __call__(self, decoded: Sequence[Image]) -> float:
        """The score; MeasurementError where it is undefined."""
        score = self._score(decoded)
        if np.isnan(score):
            raise MeasurementError(f"{self.name} is undefined on these reconstructions")
        return score

    def _score(self, images: Sequence[Image]) -> float:
        counts = self._evaluator.count(self._answers(images))
        once = np.ones((1, len(self._names)), np.int64)
        values = self._evaluator.values(counts, once)
        return float(values[self._metric][0]) if self._metric in values else float("nan")

    def _answers(self, images: Sequence[Image]) -> dict[str, Any]:
        """Answers by name, rounded as they are stored."""
        found = {}
        for name, image in zip(self._names, images, strict=True):
            _, data = store.encode(self._task.predict(image, ()), image.shape[:2])
            found[name] = store.decode(data, self._task.produces)
        return found


def _loaded(kind: str, device: str) -> Task:
    """The task with its model; one that can use a GPU must where `device` is cuda."""
    task = make_task(kind, {})
    # Without ONNX Runtime's GPU package a task that could use one refuses to load.
    resolved = use_device(device) if task.uses_device or device == "cuda" else "cpu"
    task.device = resolved if task.uses_device else "cpu"
    task.must_use_device = device == "cuda"
    task.load(Labels("these images", {}, ()), resolved)
    return task
