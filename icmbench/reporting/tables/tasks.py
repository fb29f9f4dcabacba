"""The task tables: accuracy of task models on reconstructions against rate, with intervals.

The images are those that all codecs coded, as in the rate-distortion table. A metric of a task is
computed over all of them at once (mAP and mIoU are no means of images), and again for every
bootstrap draw of images and without every group of a jackknife, the same for every codec spec. An
image without a prediction counts as one that was not coded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from icmbench.reporting.statistics.bootstrap import (
    MIN_IMAGES,
    Floats,
    Indices,
    mean,
    resample_indices,
    resampled_means,
)
from icmbench.reporting.statistics.calibration import (
    calibrated,
    jackknife_groups,
    jackknife_weights,
)
from icmbench.reporting.statistics.comparison import Point, compare, grids
from icmbench.reporting.tables.task_comparisons import (
    Sampled,
    Samples,
    Scored,
    Settings,
    bd_rates,
    paired,
)
from icmbench.reporting.tables.task_predictions import (
    ORIGINAL,
    TaskPredictions,
    TaskScores,
    read_task_predictions,
    score_predictions,
)
from icmbench.reporting.tables.task_rates import needed_rates
from icmbench.tasks.base import ORIGINALS
from icmbench.tasks.evaluate import Truth
from icmbench.tasks.metrics.score import Score

COLUMNS = (
    "dataset", "codec", "family", "task", "model", "metric", "value", "lo", "hi", "ceiling",
    "images", "failed", "bpp", "device", "status", "note",
)  # fmt: skip
FAILURE_COLUMNS = (
    "dataset", "task", "model", "family", "codec", "status", "images", "first_image", "detail",
)  # fmt: skip
OK, CODEC_FAILED, TASK_FAILED, NO_IMAGES = "ok", "codec-failed", "task-failed", "no-images"


class TaskTables(NamedTuple):
    """Rows of `tasks`, `tasks_bd_rate`, `paired`, `task_failures` and `task_rates`."""

    scores: pd.DataFrame
    bd_rates: pd.DataFrame
    paired: pd.DataFrame
    failures: pd.DataFrame
    rates: pd.DataFrame


def score_task(
    task: Scored,
    measurements: pd.DataFrame,
    truth: Truth,
    predictions: Mapping[str, Sequence[Path]],
    settings: Settings,
) -> TaskTables:
    """Rows of all tables for a task on one data set.

    Args:
        measurements: rows of this data set, all codecs.
        predictions: codec entry, or `ORIGINALS` -> the archives of its shards.

    Returns:
        Scores: `COLUMNS`, a row per codec spec and metric of the model. `ceiling` is the score on
        the originals, `failed` the number of images without a prediction (not coded, or the task
        failed), `device` the device of the model, `status` `ok` or the cause of a missing value,
        `note` the kind of an interval that is not calibrated. BD-rates: of accuracy against rate,
        with the columns of `bd_rate.csv` and `task`, `model`. Paired differences:
        `tables.paired.COLUMNS`. Failures: `FAILURE_COLUMNS`, a row per codec spec (or `originals`)
        that the task failed on; a single row where the model could not be loaded. Rates:
        `tables.task_rates.COLUMNS`.

    Where the reference is the predictions on the originals, the column `model` states it.

    Raises MeasurementError where a prediction is missing without a reason.
    """
    (grid,) = grids(measurements, ())
    predicted = read_task_predictions(task.produces, truth, predictions, grid, refer=task.refer)
    if predicted.refers:
        task = replace(task, model=f"{task.model}, reference: {ORIGINALS}")

    def weigh(images: int) -> NDArray[np.int64]:
        return _draw(images, settings, grid.dataset).weights()

    scored = score_predictions(predicted, settings.max_failed, weigh)
    scores, samples = _scores(task, predicted, scored, settings)
    metrics = _defined(scored)
    images = len(scored.common.images)
    sampled = Sampled(task, grid.dataset, metrics, samples, images, settings)
    failures = _failures(task, predicted, scored)
    rates = needed_rates(sampled, scored.samples.get(ORIGINAL, {}))
    return TaskTables(_score_frame(scores), bd_rates(sampled), paired(sampled), failures, rates)


@dataclass(frozen=True)
class _Draws:
    """The bootstrap's images (resamples, images), and the jackknife's weights (groups, images)."""

    indices: Indices
    deleted: NDArray[np.int64]

    def weights(self) -> NDArray[np.int64]:
        """Weights of the images, int64 (1 + resamples + groups, images).

        The first row counts every image once; then the bootstrap draws; then the jackknife.
        """
        once = np.ones((1, self.deleted.shape[1]), np.int64)
        return np.concatenate([once, _weights(self.indices), self.deleted])

    def means(self, rates: Floats) -> Floats:
        """The mean rate of every row of `weights`."""
        without = [mean(rates[row > 0]) for row in self.deleted]
        return np.concatenate([[mean(rates)], resampled_means(rates, self.indices), without])


def _draw(images: int, settings: Settings, dataset: str) -> _Draws:
    key: dict[str, Any] = {"seed": settings.seed, "dataset": dataset}
    groups = jackknife_groups(images, **key)
    indices = resample_indices(images, settings.resamples, **key)
    return _Draws(indices, jackknife_weights(groups))


def _scores(
    task: Scored, predicted: TaskPredictions, scored: TaskScores, settings: Settings
) -> tuple[list[dict[str, object]], Samples]:
    """Rows of scores, and the samples of the points that have values."""
    common = scored.common
    draws = _draw(len(common.images), settings, common.dataset)
    rows: list[dict[str, object]] = []
    samples: Samples = {}
    uncoded = compare(predicted.coded, settings.max_failed).excluded
    failed = predicted.grid.failed()
    ceiling = scored.samples.get(ORIGINAL, {})
    for number, point in enumerate(common.points[:-1]):
        rates = common.values["bpp"][number]
        found = scored.samples.get(point, {})
        if found:
            samples[point] = (draws.means(rates), found)
            status = OK
        elif predicted.failed or scored.failed:
            status = TASK_FAILED
        elif point in uncoded:
            status = CODEC_FAILED
        else:
            status = TASK_FAILED if predicted.reasons else NO_IMAGES
        base: dict[str, object] = {"dataset": common.dataset, "codec": point.codec}
        base |= {"family": point.family, "task": task.name, "model": task.model}
        base |= {
            "failed": failed[number],
            "status": status,
            "device": predicted.device(point.family),
        }
        for metric, score in _defined(scored).items():
            values = found.get(metric), ceiling.get(metric)
            row = _row(score, *values, len(common.images), settings)
            if metric in (over_seeds := scored.deviations.get(point, {})):
                count, deviation = len(common.specs(point)), over_seeds[metric]
                notes = [str(row["note"]), f"mean of {count} seeds, deviation {deviation:.3g}"]
                row["note"] = "; ".join(filter(None, notes))
            rows.append({**base, "metric": metric, **row, "bpp": mean(rates)})
    return rows, samples


def _failures(task: Scored, predicted: TaskPredictions, scored: TaskScores) -> pd.DataFrame:
    """Failures of the task, one row a point: `FAILURE_COLUMNS`, sorted."""
    base = {"dataset": predicted.grid.dataset, "task": task.name, "model": task.model}
    base |= {"status": TASK_FAILED}
    rows: list[dict[str, object]] = []
    if whole := predicted.failed or scored.failed:
        images = predicted.coded.images
        first = images[0] if images else ""
        about = {"family": "", "codec": "", "images": len(images), "first_image": first}
        rows.append({**base, **about, "detail": whole})
    groups: dict[Point, list[str]] = {}
    for point, image in sorted(predicted.reasons):
        groups.setdefault(point, []).append(image)
    for point, names in groups.items():
        if predicted.failed:
            break  # all for the same reason
        about = {"family": point.family, "codec": point.codec, "images": len(names)}
        detail = predicted.reasons[point, names[0]]
        rows.append({**base, **about, "first_image": names[0], "detail": detail})
    return pd.DataFrame(rows, columns=list(FAILURE_COLUMNS))


def _weights(draws: np.ndarray) -> np.ndarray:
    """Counts of every image in the bootstrap draws, int64 (resamples, images)."""
    images = draws.shape[1]
    return np.stack([np.bincount(row, minlength=images) for row in draws]).astype(np.int64)


def _defined(scored: TaskScores) -> Mapping[str, Score]:
    """Metrics with a value on the originals: a model without masks has no `mask_map`.

    Without any value, all metrics: their empty rows show the failure.
    """
    known = scored.metrics
    first = scored.samples.get(ORIGINAL) or next(iter(scored.samples.values()), {})
    held = {m: about for m, about in known.items() if m in first and np.isfinite(first[m][0])}
    return held or known


def _row(
    score: Score, values: Floats | None, ceiling: Floats | None, images: int, settings: Settings
) -> dict[str, object]:
    row: dict[str, object] = {"ceiling": np.nan if ceiling is None else float(ceiling[0])}
    row["note"] = ""
    if values is None:
        return row | {"value": np.nan, "lo": np.nan, "hi": np.nan, "images": 0}
    low = high = np.nan
    if images >= MIN_IMAGES:
        bounds = (0.0, score.most)
        end = 1 + settings.resamples
        low, high, row["note"] = calibrated(float(values[0]), values[1:end], values[end:], bounds)
    return row | {"images": images, "value": float(values[0]), "lo": low, "hi": high}


def _score_frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    order = {name: place for place, name in enumerate(dict.fromkeys(frame["metric"]))}
    frame["order"] = frame["metric"].map(order)
    keys = ["dataset", "task", "order", "family", "bpp", "codec"]
    return frame.sort_values(keys, kind="stable", ignore_index=True).drop(columns="order")
