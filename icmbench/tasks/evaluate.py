"""From predictions to numbers: the evaluator that a task needs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from icmbench.core.errors import MeasurementError, TaskError
from icmbench.tasks.answers import Evaluator, answer_of
from icmbench.tasks.base import Labels
from icmbench.tasks.metrics.score import Score

FILES = ("instances.json", "landmarks.json", "classes.json", "semantic.json", "more.json")


@dataclass(frozen=True)
class Truth:
    """Ground truth of a data set's images; see `icmbench.datasets.base.Annotations`."""

    instances: Mapping[str, Any] = field(default_factory=dict)
    landmarks: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    maps: Mapping[str, Path] = field(default_factory=dict)
    ignore: int = 255
    more: Mapping[str, Any] = field(default_factory=dict)

    def labels(self, dataset: str) -> Labels:
        """The classes of the data set of this name, as a model has to know them."""
        categories = {int(c["id"]): str(c["name"]) for c in self.instances.get("categories", [])}
        listed = self.more.get("panoptic", {}).get("categories", [])
        segments = {int(category["id"]): str(category["name"]) for category in listed}
        images = self.more.get("class_scores", {}).get("classes", ())
        return Labels(dataset, categories, self.classes, segments, tuple(images))

    def face_boxes(self, image_id: str) -> list[list[float]]:
        """Boxes x, y, width, height of an image's annotated faces; [] where there are none."""
        return [list(face["bbox"]) for face in self.landmarks.get(image_id, [])]


def read_truth(folder: Path) -> Truth:
    """The annotations of a data set: its folder's `FILES`.

    A data set without one kind of them has the file all the same, empty. Paths in `semantic.json`
    are absolute or relative to the folder. Raises MeasurementError naming the file that is missing
    or damaged.
    """
    instances, landmarks, classes, semantic, more = (_json(folder / name) for name in FILES)
    try:
        maps = {name: folder / path for name, path in semantic.get("maps", {}).items()}
        ignore = int(semantic.get("ignore", 255))
    except (AttributeError, TypeError, ValueError) as error:
        raise MeasurementError(f"{folder / FILES[3]}: not a list of maps: {error}") from error
    return Truth(instances, landmarks, tuple(classes), maps, ignore, more)


def metrics_of(produces: str) -> Mapping[str, Score]:
    """Metrics for a kind of predictions, as `Evaluator.metrics`."""
    return answer_of(produces).metrics


def evaluator(produces: str, truth: Truth, images: Sequence[str]) -> Evaluator:
    """Evaluator for a kind of predictions, on these images.

    Raises TaskError where the data set has no annotations of that kind, or malformed ones.
    """
    answer = answer_of(produces)
    if not answer.annotated(truth):
        raise TaskError(f"the data set has no annotations of the kind {produces}")
    return answer.evaluator(truth, images)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MeasurementError(f"{path}: no such file") from None
    except ValueError as error:
        raise MeasurementError(f"{path}: not JSON: {error}") from error
