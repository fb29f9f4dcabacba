"""A task's predictions and metrics on pictures in memory, without files."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from icmbench.core.errors import MeasurementError
from icmbench.tasks import store
from icmbench.tasks.answers import answer_of
from icmbench.tasks.base import Image, Prediction, Task, kind_of
from icmbench.tasks.evaluate import Truth, evaluator


def as_stored(prediction: Prediction) -> Prediction:
    """A prediction as it comes back from a file: what is to be judged."""
    return store.decode(store.encode(prediction)[1], kind_of(prediction))


def evaluate(
    reconstructions: Mapping[str, Image], task: Task, truth: Truth
) -> list[tuple[str, float]]:
    """The metrics of a loaded task on decoded pictures: rows of metric and value.

    Predictions are rounded as they are in files, so the workflow gives the same numbers.

    Args:
        reconstructions: image id -> uint8 (H, W, 3), sRGB.

    Raises TaskError where the truth does not cover the images or does not fit the task,
    MeasurementError where there is no picture.
    """
    images = sorted(reconstructions)
    if not images:
        raise MeasurementError("there is no image to score")
    judge = evaluator(task.produces, truth, images)
    predictions: dict[str, Prediction] = {}
    for name in images:
        found = task.predict(reconstructions[name], answer_of(task.produces).given(truth, name))
        predictions[name] = as_stored(found)
    once = np.ones((1, len(images)), np.int64)
    values = judge.values(judge.count(predictions), once)
    return [(metric, float(values[metric][0])) for metric in judge.metrics]
