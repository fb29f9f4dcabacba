"""The task tables: what models see in decoded pictures, against true rate, with intervals.

The images are those that all codecs coded, as in the rate-distortion table. A metric of a task is
computed over all of them at once (mAP and mIoU are no means of images), and again for every
bootstrap draw of images and without every group of a jackknife, the same for every codec string.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from icmbench.reporting.bd_rate import COLUMNS as BD_COLUMNS
from icmbench.reporting.bd_rate import Resampled, compare_curves
from icmbench.reporting.bootstrap import (
    MIN_IMAGES,
    Floats,
    mean,
    resample_indices,
    resampled_means,
)
from icmbench.reporting.calibration import calibrated, jackknife_groups, jackknife_weights
from icmbench.reporting.comparison import Grid, Point, compare, grids, restrict
from icmbench.reporting.curves import Curves, fit
from icmbench.reporting.paired import frame as paired_frame
from icmbench.reporting.paired import paired_task_rows
from icmbench.tasks import store
from icmbench.tasks.base import LANDMARKS
from icmbench.tasks.evaluate import (
    Evaluator,
    Truth,
    evaluator,
    has_reference,
    refer_to_originals,
)
from icmbench.tasks.run import ORIGINALS

COLUMNS = (
    "dataset", "codec", "family", "task", "model", "metric", "value", "lo", "hi", "ceiling",
    "images", "failed", "bpp",
)  # fmt: skip
TASK_BD_COLUMNS = (*BD_COLUMNS[:1], "task", "model", *BD_COLUMNS[1:])


# Point -> rate and every metric, on all images, then on every draw, then without every group of the
# jackknife: (1 + resamples + groups,).
Samples = dict[Point, tuple[Floats, Mapping[str, Floats]]]


@dataclass(frozen=True)
class Scored:
    """A task on one data set.

    Attributes:
        name: of the task, an entry of the configuration.
        model: name of its model.
        produces: kind of its predictions.
    """

    name: str
    model: str
    produces: str


@dataclass(frozen=True)
class Settings:
    """How scores are computed: `resamples` and `seed` of the bootstrap, and what is compared.

    `rates` are those of the paired differences, in bits per pixel.
    """

    resamples: int
    seed: int
    max_failed: float
    min_overlap: float
    anchors: Sequence[str]
    rates: Sequence[float] = ()


def score_task(
    task: Scored,
    measurements: pd.DataFrame,
    truth: Truth,
    predictions: Mapping[str, Sequence[Path]],
    settings: Settings,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The task's rows of `tasks.csv`, `tasks_bd_rate.csv` and `paired.csv` on one data set.

    Args:
        measurements: of this data set, all codecs.
        predictions: family, and `ORIGINALS` -> the archives of its shards.

    Returns:
        Scores: `COLUMNS`, a row per codec string and metric that the model has; `ceiling` is the
        value on the originals, `failed` the images without a picture. BD-rates: of accuracy
        against rate, with the columns of `bd_rate.csv` and `task`, `model`. Paired differences:
        `icmbench.reporting.paired.COLUMNS`.

    Of faces without points, those found in the originals are taken for right; `model` says so.

    Raises MeasurementError where a prediction is missing, TaskError where one does not fit.
    """
    (grid,) = grids(measurements, ())
    common = restrict(grid, compare(grid, settings.max_failed))
    if task.produces == LANDMARKS and not has_reference(truth):
        paths = predictions[ORIGINALS]
        truth = refer_to_originals(
            truth, store.read(paths, ORIGINALS, common.images, task.produces)
        )
        task = replace(task, model=f"{task.model}, against its points on the originals")
    judge = evaluator(task.produces, truth, common.images)
    draws = resample_indices(
        len(common.images), settings.resamples, seed=settings.seed, dataset=grid.dataset
    )
    groups = jackknife_groups(len(common.images), seed=settings.seed, dataset=grid.dataset)
    deleted = jackknife_weights(groups)
    once = np.ones((1, len(common.images)), np.int64)
    weights = np.concatenate([once, _weights(draws), deleted])
    originals = _samples(judge, predictions[ORIGINALS], ORIGINALS, task, common, weights)
    metrics = _defined(judge, originals)
    scores: list[dict[str, object]] = []
    samples: Samples = {}
    for number, point in enumerate(common.points):
        failed = grid.failed()[number]
        rates = common.values["bpp"][number]
        found: Mapping[str, Floats] = {}
        if common.ok[number].all() and len(common.images):
            found = _samples(judge, predictions[point.family], point.codec, task, common, weights)
            without = [mean(rates[row > 0]) for row in deleted]
            bpp = np.concatenate([[mean(rates)], resampled_means(rates, draws), without])
            samples[point] = (bpp, found)
        base: dict[str, object] = {"dataset": grid.dataset, "codec": point.codec}
        base |= {"family": point.family, "task": task.name, "model": task.model, "failed": failed}
        for metric in metrics:
            row = _row(metric, found.get(metric), originals[metric], len(common.images), settings)
            scores.append({**base, "metric": metric, **row, "bpp": mean(rates)})
    bd_rates = _bd_rates(task, grid.dataset, metrics, samples, len(common.images), settings)
    paired = _paired(task, grid.dataset, metrics, samples, len(common.images), settings)
    return _score_frame(scores), bd_rates, paired


def _weights(draws: np.ndarray) -> np.ndarray:
    """How often every image was drawn, (resamples, images)."""
    images = draws.shape[1]
    return np.stack([np.bincount(row, minlength=images) for row in draws]).astype(np.int64)


def _samples(
    judge: Evaluator,
    paths: Sequence[Path],
    codec: str,
    task: Scored,
    common: Grid,
    weights: np.ndarray,
) -> dict[str, Floats]:
    """Every metric, (rows of weights,)."""
    found = store.read(paths, codec, common.images, task.produces)
    return dict(judge.values(judge.count(found), weights))


def _defined(judge: Evaluator, originals: Mapping[str, Floats]) -> Mapping[str, tuple[str, bool]]:
    """The metrics that the originals have values of: a model without masks has no `mask_map`.

    All, where there is no value at all: rows without values say that something is wrong.
    """
    held = {m: about for m, about in judge.metrics.items() if np.isfinite(originals[m][0])}
    return held or judge.metrics


# Every other metric of a task is a share, from 0 to 1.
_UNBOUNDED = ("nme", "hallucinated")


def _row(
    metric: str, values: Floats | None, ceiling: Floats, images: int, settings: Settings
) -> dict[str, object]:
    row: dict[str, object] = {"ceiling": float(ceiling[0]), "images": images}
    if values is None:
        return row | {"value": np.nan, "lo": np.nan, "hi": np.nan, "images": 0}
    low = high = np.nan
    if images >= MIN_IMAGES:
        bounds = (0.0, np.inf if metric in _UNBOUNDED else 1.0)
        end = 1 + settings.resamples
        low, high, _ = calibrated(float(values[0]), values[1:end], values[end:], bounds)
    return row | {"value": float(values[0]), "lo": low, "hi": high}


def _score_frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    order = {name: place for place, name in enumerate(dict.fromkeys(frame["metric"]))}
    frame["order"] = frame["metric"].map(order)
    keys = ["dataset", "task", "order", "family", "bpp", "codec"]
    return frame.sort_values(keys, kind="stable", ignore_index=True).drop(columns="order")


def _bd_rates(
    task: Scored,
    dataset: str,
    metrics: Mapping[str, tuple[str, bool]],
    samples: Samples,
    images: int,
    settings: Settings,
) -> pd.DataFrame:
    """Every family with two points or more against every anchor, for every metric."""
    rows = []
    families = sorted({point.family for point in samples})
    for metric, (_, higher_is_better) in metrics.items():
        curves, whole = _curves(samples, metric, 1.0 if higher_is_better else -1.0)
        resampled = Resampled(settings.resamples, whole)
        for family in families:
            points = sum(point.family == family for point in samples)
            for anchor in settings.anchors:
                if family == anchor or points < 2:
                    continue
                key: dict[str, object] = {"dataset": dataset, "task": task.name}
                key["model"] = task.model
                key |= {"family": family, "anchor": anchor, "metric": metric, "images": images}
                pair = curves.get(family), curves.get(anchor)
                entry = compare_curves(*pair, images, settings.min_overlap, resampled)
                rows.append({**key, **entry})
    return pd.DataFrame(rows, columns=list(TASK_BD_COLUMNS))


def _paired(
    task: Scored,
    dataset: str,
    metrics: Mapping[str, tuple[str, bool]],
    samples: Samples,
    images: int,
    settings: Settings,
) -> pd.DataFrame:
    """Every family minus every anchor at `settings.rates`, for every metric."""

    def curves_of(metric: str) -> dict[str, tuple[Floats, Floats]]:
        found: dict[str, list[tuple[Floats, Floats]]] = {}
        for point, (rate, values) in samples.items():
            if np.isfinite(values[metric][0]):
                found.setdefault(point.family, []).append((rate, values[metric]))
        return {
            family: (
                np.stack([r for r, _ in pairs], axis=1),
                np.stack([v for _, v in pairs], axis=1),
            )
            for family, pairs in found.items()
        }

    rows = paired_task_rows(
        {"dataset": dataset, "task": task.name},
        curves_of,
        list(metrics),
        settings.anchors,
        settings.rates,
        resamples=settings.resamples,
        images=images,
        directions={metric: higher for metric, (_, higher) in metrics.items()},
    )
    return paired_frame(rows)


def _curves(
    samples: Samples, metric: str, sign: float
) -> tuple[dict[str, Curves], NDArray[np.bool_] | None]:
    """The curve of every family that has a point with a value; row 0 is on all images.

    A draw of images may lack what a metric is of (faces, say): it counts as failed for all
    families. Returned beside the curves: which rows are whole; a row that is not has the curve of
    row 0 in its place.
    """
    held = {p: (rate, sign * v[metric]) for p, (rate, v) in samples.items()}
    held = {point: pair for point, pair in held.items() if np.isfinite(pair[1][0])}
    if not held:
        return {}, None
    every = np.stack([quality for _, quality in held.values()])
    whole = np.asarray(np.isfinite(every).all(axis=0), np.bool_)
    curves = {}
    for family in sorted({point.family for point in held}):
        pairs = [pair for point, pair in held.items() if point.family == family]
        rates = np.stack([np.where(whole, rate, rate[0]) for rate, _ in pairs], axis=1)
        qualities = np.stack([np.where(whole, q, q[0]) for _, q in pairs], axis=1)
        curves[family] = fit(rates, qualities)
    return curves, whole
