"""Predictions of one task on one data set: images with a prediction, and scores.

A failing image is a row, never the end of a run. An image without a prediction, one whose
prediction cannot be judged, and one whose annotation cannot is a failure with a reason, and codecs
are compared on the images of which all of them have an answer, as in the rate-distortion table.
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
from icmbench.tasks.attempt import Failure, attempt
from icmbench.tasks.base import LANDMARKS
from icmbench.tasks.evaluate import (
    Evaluator,
    Truth,
    evaluator,
    has_reference,
    metrics_of,
    refer_to_originals,
)
from icmbench.tasks.run import ORIGINALS

ORIGINAL: Final = Point(ORIGINALS, ORIGINALS)
Key = tuple[Point, str]


@dataclass
class Answers:
    """A task's predictions on one data set.

    Attributes:
        produces: kind of the predictions.
        truth: the data set's annotations.
        paths: family, and `ORIGINALS` -> the archives of its shards.
        outcomes: of the same keys.
        coded: the grid of the measurements.
        grid: the same with a last row for the originals; ok: there is a prediction, too.
        reasons: (point, image) -> why there is none, or why it cannot be judged. What is wrong
            with an image's annotation stands under the originals alone.
    """

    produces: str
    truth: Truth
    paths: Mapping[str, Sequence[Path]]
    outcomes: Mapping[str, store.Outcome]
    coded: Grid
    grid: Grid
    reasons: dict[Key, str] = field(default_factory=dict)

    @property
    def unmarked(self) -> bool:
        """True where faces have no annotated landmarks; those on the originals replace them."""
        return self.produces == LANDMARKS and not has_reference(self.truth)

    @property
    def failed(self) -> str:
        """Reason where no job could load the model; "" where at least one could."""
        reasons = [outcome.failed for outcome in self.outcomes.values()]
        answered = any(outcome.answered for outcome in self.outcomes.values())
        return reasons[0] if all(reasons) and not answered else ""

    def device(self, family: str) -> str:
        """Devices of the model on a codec entry's images: cpu, cuda, or cpu+cuda."""
        return "+".join(self.outcomes[family].devices)

    def read(self, point: Point, images: Sequence[str]) -> dict[str, Any]:
        """The predictions of these images; MeasurementError as `store.read`."""
        return store.read(self.paths[point.family], point.codec, images, self.produces)

    def judge(self, images: Sequence[str]) -> Evaluator:
        """The evaluator for these images; TaskError where their annotations are wrong."""
        truth = self.truth
        if self.unmarked:
            truth = refer_to_originals(truth, self.read(ORIGINAL, images))
        return evaluator(self.produces, truth, images)

    def fail(self, point: Point, image: str, reason: str, *, rows: Sequence[int]) -> None:
        """Record a failure; the image then has no answer in these rows of the grid."""
        self.grid.ok[list(rows), self.grid.images.index(image)] = False
        self.reasons[point, image] = reason


def answers_of(
    produces: str, truth: Truth, paths: Mapping[str, Sequence[Path]], grid: Grid
) -> Answers:
    """The predictions of a task for all points of a grid and for the originals.

    Raises MeasurementError where an image that was coded has neither a prediction nor a reason.
    """
    outcomes = {family: store.outcome(files, produces) for family, files in paths.items()}
    points = (*grid.points, ORIGINAL)
    ok = np.concatenate([grid.ok, grid.ok.any(axis=0, keepdims=True)])
    empty = np.full((1, len(grid.images)), np.nan)
    values = {name: np.concatenate([table, empty]) for name, table in grid.values.items()}
    answers = Answers(
        produces, truth, paths, outcomes, grid, Grid(grid.dataset, points, grid.images, ok, values)
    )
    for row, point in enumerate(points):
        lost = []
        for column in np.flatnonzero(ok[row]).tolist():
            image = grid.images[column]
            if outcomes[point.family].has(point.codec, image):
                continue
            reason = outcomes[point.family].reason(point.codec, image)
            if reason is None:
                lost.append(image)
            else:
                answers.fail(point, image, reason, rows=[row])
        if lost:
            where = ", ".join(str(path) for path in paths[point.family]) or "no file"
            raise MeasurementError(
                f"{where}: no prediction of {', '.join(lost[:5])} for {point.codec} "
                f"({len(lost)} of {len(grid.images)})"
            )
    return answers


@dataclass(frozen=True)
class Judged:
    """Scores of a task on the comparison set, with bootstrap and jackknife samples.

    Attributes:
        common: the grid on the compared images, with the originals' row.
        weights: int64 (1 + resamples, images).
        samples: point -> metric -> (1 + resamples,); without points that answered too little.
        metrics: of the evaluator, as `Evaluator.metrics`.
        failed: reason where no prediction could be scored; "": at least one was.
    """

    common: Grid
    weights: np.ndarray
    samples: Mapping[Point, Mapping[str, Floats]]
    metrics: Mapping[str, tuple[str, bool]]
    failed: str = ""


def judge_answers(answers: Answers, max_failed: float, weigh: Any) -> Judged:
    """Judge all points on the images that all of them answered.

    Args:
        max_failed: share of the images that a point may lack; one that lacks more is left out.
        weigh: number of images -> weights int64 (1 + resamples, images).

    An image that cannot be judged, or whose prediction cannot, becomes a failure in `answers`, and
    the rest is judged again.
    """
    while True:
        common = restrict(answers.grid, compare(answers.grid, max_failed))
        weights = weigh(len(common.images))
        nothing = Judged(common, weights, {}, metrics_of(answers.produces), answers.failed)
        if not common.images or answers.failed:
            return nothing
        if answers.unmarked and not common.ok[-1].all():
            return replace(nothing, failed="no points on the originals to compare with")
        judge = attempt("annotations", partial(answers.judge, common.images))
        found = judge if isinstance(judge, Failure) else _scores(answers, judge, common, weights)
        if not isinstance(judge, Failure) and not isinstance(found, Failure):
            return Judged(common, weights, found, judge.metrics)
        if isinstance(found, Failure) and not _find_faults(answers, common):
            return replace(nothing, failed=found.reason)


def _scores(
    answers: Answers, judge: Evaluator, common: Grid, weights: np.ndarray
) -> dict[Point, Mapping[str, Floats]] | Failure:
    """Metric values of every point that answered on all compared images, or the first failure."""
    scores: dict[Point, Mapping[str, Floats]] = {}
    # The originals first: they say which metrics there are.
    for point, ok in sorted(zip(common.points, common.ok, strict=True), key=_originals_first):
        if not ok.all():
            continue
        predictions = answers.read(point, common.images)
        counts = attempt(f"predictions of {point.codec}", partial(judge.count, predictions))
        if isinstance(counts, Failure):
            return counts
        scores[point] = dict(judge.values(counts, weights))
    return scores


def _originals_first(pair: tuple[Point, Any]) -> bool:
    return pair[0] != ORIGINAL


def _find_faults(answers: Answers, common: Grid) -> int:
    """Judge every image by itself; what cannot be judged becomes a failure. Their number."""
    before = len(answers.reasons)
    judges = {}
    everywhere = range(len(answers.grid.points))
    for image in common.images:
        judge = attempt(f"annotation of image {image!r}", partial(answers.judge, [image]))
        if isinstance(judge, Failure):
            answers.fail(ORIGINAL, image, judge.reason, rows=everywhere)
        else:
            judges[image] = judge
    for row, point in enumerate(common.points):
        if not common.ok[row].all() or not judges:
            continue
        for image, prediction in answers.read(point, list(judges)).items():
            what = f"prediction of image {image!r} of {point.codec}"
            found = attempt(what, partial(judges[image].count, {image: prediction}))
            if isinstance(found, Failure):
                answers.fail(point, image, found.reason, rows=[row])
    return len(answers.reasons) - before
