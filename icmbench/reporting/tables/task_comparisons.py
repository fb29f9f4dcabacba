"""Comparisons of a task on one data set: BD-rates, and paired differences at equal rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from icmbench.reporting.statistics.bootstrap import Floats
from icmbench.reporting.statistics.comparison import Point
from icmbench.reporting.statistics.curves import Curves, fit
from icmbench.reporting.tables.bd_rate import COLUMNS as BD_COLUMNS
from icmbench.reporting.tables.bd_rate import Resampled, compare_curves
from icmbench.reporting.tables.paired import frame, paired_task_rows
from icmbench.tasks.metrics.score import Score

TASK_BD_COLUMNS = (*BD_COLUMNS[:1], "task", "model", *BD_COLUMNS[1:])
# Point -> rate and every metric: of all images, then of every bootstrap draw, then of all images
# but one group of the jackknife, (1 + resamples + groups,).
Samples = dict[Point, tuple[Floats, Mapping[str, Floats]]]


@dataclass(frozen=True)
class Scored:
    """A task on one data set.

    Attributes:
        name: of the task, an entry of the configuration.
        model: name of its model.
        produces: kind of its predictions.
        refer: as in `TaskPredictions`.
    """

    name: str
    model: str
    produces: str
    refer: bool = False


@dataclass(frozen=True)
class Settings:
    """Parameters of the task tables: bootstrap, comparison set, anchors.

    Attributes:
        resamples, seed: of the bootstrap over images.
        max_failed: share of failed images above which a codec spec is left out.
        min_overlap: smallest overlap of two curves that get a BD-rate.
        anchors: codec entries that BD-rates refer to.
        rates: of the paired differences, in bits per pixel.
        shares: of the ceiling, at which rates are given.
    """

    resamples: int
    seed: int
    max_failed: float
    min_overlap: float
    anchors: Sequence[str]
    rates: Sequence[float] = ()
    shares: Sequence[float] = ()


@dataclass(frozen=True)
class Sampled:
    """The samples of a task on one data set.

    Attributes:
        metrics: of the evaluator, as `Evaluator.metrics`.
        images: number of images of the comparison set.
        settings: parameters of bootstrap, comparison set and anchors.
    """

    task: Scored
    dataset: str
    metrics: Mapping[str, Score]
    samples: Samples
    images: int
    settings: Settings


def bd_rates(of: Sampled) -> pd.DataFrame:
    """BD-rates of every codec entry with two points or more against every anchor that is there."""
    rows = []
    families = sorted({point.family for point in of.samples})
    for metric, score in of.metrics.items():
        curves, whole = curves_of(of.samples, metric, 1.0 if score.higher_is_better else -1.0)
        resampled = Resampled(of.settings.resamples, whole)
        for family in families:
            points = sum(point.family == family for point in of.samples)
            for anchor in of.settings.anchors:
                if family == anchor or points < 2 or anchor not in families:
                    continue
                key: dict[str, object] = {"dataset": of.dataset, "task": of.task.name}
                key["model"] = of.task.model
                key |= {"family": family, "anchor": anchor, "metric": metric, "images": of.images}
                pair = curves.get(family), curves.get(anchor)
                entry = compare_curves(
                    *pair,
                    of.images,
                    of.settings.min_overlap,
                    resampled,
                    higher_is_better=score.higher_is_better,
                )
                rows.append({**key, **entry})
    return pd.DataFrame(rows, columns=list(TASK_BD_COLUMNS))


def paired(of: Sampled) -> pd.DataFrame:
    """Paired differences between every codec entry and every anchor at `settings.rates`."""

    def sampled(metric: str) -> dict[str, tuple[Floats, Floats]]:
        found: dict[str, list[tuple[Floats, Floats]]] = {}
        for point, (rate, values) in of.samples.items():
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
        {"dataset": of.dataset, "task": of.task.name},
        sampled,
        {metric: score.higher_is_better for metric, score in of.metrics.items()},
        of.settings.anchors,
        of.settings.rates,
        resamples=of.settings.resamples,
        images=of.images,
    )
    return frame(rows)


def curves_of(
    samples: Samples, metric: str, sign: float
) -> tuple[dict[str, Curves], NDArray[np.bool_] | None]:
    """Curves of the codec entries that have a point with a value; row 0 is of all images.

    `sign` is -1 for a metric that is better when lower: qualities are the values times it.

    A draw of images may have no object of a metric (such as no face): it then counts as failed for
    all codec entries, and the curve of row 0 takes its place.

    Returns:
        Curves by codec entry, and bool (rows,): True where a row did not fail.
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
        names = [point.codec for point in held if point.family == family]
        rates = np.stack([np.where(whole, rate, rate[0]) for rate, _ in pairs], axis=1)
        qualities = np.stack([np.where(whole, q, q[0]) for _, q in pairs], axis=1)
        curves[family] = fit(rates, qualities, names)
    return curves, whole
