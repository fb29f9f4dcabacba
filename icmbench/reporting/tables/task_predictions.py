"""Predictions of one task on one data set: images with a prediction, and scores.

A failing image is a row and does not end a run. An image without a prediction, with an invalid
prediction or with an invalid annotation is a failure with a reason. Codecs are compared on the
images of which all have a valid prediction, as in the rate-distortion table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from icmbench.core.errors import MeasurementError
from icmbench.reporting.statistics.bootstrap import Floats
from icmbench.reporting.statistics.comparison import Grid, Point, compare, restrict
from icmbench.tasks import store
from icmbench.tasks.answers import Evaluator, answer_of
from icmbench.tasks.attempt import Failure, attempt
from icmbench.tasks.base import ORIGINALS
from icmbench.tasks.evaluate import Truth, evaluator, metrics_of
from icmbench.tasks.metrics.score import Score

ORIGINAL: Final = Point(ORIGINALS, ORIGINALS)
Key = tuple[Point, str]


@dataclass
class TaskPredictions:
    """A task's predictions on one data set.

    Attributes:
        produces: kind of the predictions.
        truth: annotations of the data set.
        paths: codec entry, or `ORIGINALS` -> the archives of its shards.
        outcomes: codec entry, or `ORIGINALS` -> devices, failures and members of the archives.
        coded: the grid of the measurements.
        grid: the same with a last row for the originals; `ok` where there is a prediction, too.
        reasons: (point, image) -> reason of a missing or invalid prediction. An invalid annotation
            of an image has a reason for the originals only.
        refer: the predictions on the originals are the reference, whatever is annotated.
    """

    produces: str
    truth: Truth
    paths: Mapping[str, Sequence[Path]]
    outcomes: Mapping[str, store.Outcome]
    coded: Grid
    grid: Grid
    reasons: dict[Key, str] = field(default_factory=dict)
    refer: bool = False

    @property
    def refers(self) -> bool:
        """True where the predictions on the originals are the reference."""
        return self.refer or answer_of(self.produces).needs_originals(self.truth)

    @property
    def failed(self) -> str:
        """Reason where no job could load the model; "" where at least one could."""
        reasons = [outcome.failed for outcome in self.outcomes.values()]
        answered = any(outcome.answered for outcome in self.outcomes.values())
        return reasons[0] if all(reasons) and not answered else ""

    def device(self, family: str) -> str:
        """Devices of the model on a codec entry's images: cpu, cuda, or cpu+cuda."""
        return "+".join(self.outcomes[family].devices)

    def read(self, point: Point, images: Sequence[str]) -> list[dict[str, Any]]:
        """The predictions of these images by seed; MeasurementError as `store.read`."""
        paths = self.paths[point.family]
        return [store.read(paths, spec, images, self.produces) for spec in self.grid.specs(point)]

    def evaluator(self, images: Sequence[str]) -> Evaluator:
        """The evaluator for these images; TaskError for invalid annotations."""
        truth = self.truth
        if self.refers:
            truth = answer_of(self.produces).refer(truth, self.read(ORIGINAL, images)[0])
        return evaluator(self.produces, truth, images)

    def fail(self, point: Point, image: str, reason: str, *, rows: Sequence[int]) -> None:
        """Record a failure; the image is then not `ok` in these rows of the grid."""
        self.grid.ok[list(rows), self.grid.images.index(image)] = False
        self.reasons[point, image] = reason


def read_task_predictions(
    produces: str,
    truth: Truth,
    paths: Mapping[str, Sequence[Path]],
    grid: Grid,
    *,
    refer: bool = False,
) -> TaskPredictions:
    """Read the predictions of a task for all points of a grid and for the originals.

    Args:
        refer: as in `TaskPredictions`.

    Raises MeasurementError where an image that was coded has neither a prediction nor a reason.
    """
    outcomes = {family: store.outcome(files, produces) for family, files in paths.items()}
    points = (*grid.points, ORIGINAL)
    ok = np.concatenate([grid.ok, grid.ok.any(axis=0, keepdims=True)])
    empty = np.full((1, len(grid.images)), np.nan)
    values = {name: np.concatenate([table, empty]) for name, table in grid.values.items()}
    whole = replace(grid, points=points, ok=ok, values=values)
    predicted = TaskPredictions(produces, truth, paths, outcomes, grid, whole, refer=refer)
    for row, point in enumerate(points):
        lost = []
        for column in np.flatnonzero(ok[row]).tolist():
            image, found = grid.images[column], outcomes[point.family]
            without = [spec for spec in grid.specs(point) if not found.has(spec, image)]
            if not without:
                continue
            reason = found.reason(without[0], image)
            if reason is None:
                lost.append(image)
            else:
                predicted.fail(point, image, reason, rows=[row])
        if lost:
            where = ", ".join(str(path) for path in paths[point.family]) or "no file"
            raise MeasurementError(
                f"{where}: no prediction of {', '.join(lost[:5])} for {point.codec} "
                f"({len(lost)} of {len(grid.images)})"
            )
    return predicted


@dataclass(frozen=True)
class TaskScores:
    """Scores of a task on the comparison set, with bootstrap and jackknife samples.

    Attributes:
        common: the grid on the compared images, with the originals' row.
        weights: int64 (1 + resamples, images).
        samples: point -> metric -> (1 + resamples,); without points that failed on too many images.
            Of a point with several seeds it is their mean.
        deviations: point with several seeds -> metric -> standard deviation over the seeds.
        metrics: of the evaluator, as `Evaluator.metrics`.
        failed: reason where no prediction could be scored; "": at least one was.
    """

    common: Grid
    weights: np.ndarray
    samples: Mapping[Point, Mapping[str, Floats]]
    metrics: Mapping[str, Score]
    failed: str = ""
    deviations: Mapping[Point, Mapping[str, float]] = field(default_factory=dict)


def score_predictions(predicted: TaskPredictions, max_failed: float, weigh: Any) -> TaskScores:
    """Score all points on the images of which all points have a prediction.

    Args:
        max_failed: share of images that a point may lack; points that lack more are left out.
        weigh: number of images -> weights int64 (1 + resamples, images).

    An image with an invalid annotation or prediction becomes a failure in `predicted`, and all
    other images are scored again.
    """
    while True:
        common = restrict(predicted.grid, compare(predicted.grid, max_failed))
        weights = weigh(len(common.images))
        nothing = TaskScores(common, weights, {}, metrics_of(predicted.produces), predicted.failed)
        if not common.images or predicted.failed:
            return nothing
        if predicted.refers and not common.ok[-1].all():
            return replace(nothing, failed="no answers on the originals to compare with")
        scorer = attempt("annotations", partial(predicted.evaluator, common.images))
        found = (
            scorer if isinstance(scorer, Failure) else _scores(predicted, scorer, common, weights)
        )
        if not isinstance(scorer, Failure) and not isinstance(found, Failure):
            samples, deviations = _over_seeds(found)
            return TaskScores(common, weights, samples, scorer.metrics, "", deviations)
        if isinstance(found, Failure) and not _find_faults(predicted, common):
            return replace(nothing, failed=found.reason)


def _scores(
    predicted: TaskPredictions, scorer: Evaluator, common: Grid, weights: np.ndarray
) -> dict[Point, list[Mapping[str, Floats]]] | Failure:
    """Metric values by seed of every point that has all predictions, or the first failure."""
    scores: dict[Point, list[Mapping[str, Floats]]] = {}
    # The originals first: they determine the metrics that have values.
    for point, ok in sorted(zip(common.points, common.ok, strict=True), key=_originals_first):
        if not ok.all():
            continue
        for predictions in predicted.read(point, common.images):
            counts = attempt(f"predictions of {point.codec}", partial(scorer.count, predictions))
            if isinstance(counts, Failure):
                return counts
            scores.setdefault(point, []).append(dict(scorer.values(counts, weights)))
    return scores


def _over_seeds(
    scores: Mapping[Point, Sequence[Mapping[str, Floats]]],
) -> tuple[dict[Point, Mapping[str, Floats]], dict[Point, Mapping[str, float]]]:
    """Means over the seeds of every point, and the standard deviations of those with several."""
    means: dict[Point, Mapping[str, Floats]] = {}
    deviations: dict[Point, Mapping[str, float]] = {}
    for point, values in scores.items():
        table = {metric: np.stack([one[metric] for one in values]) for metric in values[0]}
        means[point] = {metric: rows.mean(axis=0) for metric, rows in table.items()}
        if len(values) > 1:
            deviations[point] = {m: float(rows[:, 0].std(ddof=1)) for m, rows in table.items()}
    return means, deviations


def _originals_first(pair: tuple[Point, Any]) -> bool:
    return pair[0] != ORIGINAL


def _find_faults(predicted: TaskPredictions, common: Grid) -> int:
    """Score every image separately; record and count those that fail."""
    before = len(predicted.reasons)
    scorers = {}
    everywhere = range(len(predicted.grid.points))
    for image in common.images:
        scorer = attempt(f"annotation of image {image!r}", partial(predicted.evaluator, [image]))
        if isinstance(scorer, Failure):
            predicted.fail(ORIGINAL, image, scorer.reason, rows=everywhere)
        else:
            scorers[image] = scorer
    for row, point in enumerate(common.points):
        if not common.ok[row].all() or not scorers:
            continue
        for predictions in predicted.read(point, list(scorers)):
            for image, prediction in predictions.items():
                what = f"prediction of image {image!r} of {point.codec}"
                found = attempt(what, partial(scorers[image].count, {image: prediction}))
                if isinstance(found, Failure):
                    predicted.fail(point, image, found.reason, rows=[row])
    return len(predicted.reasons) - before
