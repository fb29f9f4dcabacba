"""Coverage of intervals of pooled statistics, by simulation: `python tests/coverage_simulation.py`.

Images are drawn from a model of which the statistic's true value is known (a very large sample).
How often the 95 % interval of a small sample holds it is the interval's coverage. Three kinds are
compared: the plain percentile interval, BCa (Efron and Tibshirani 1993, chapter 14), and the
calibrated one that the tables have (`icmbench.reporting.statistics.calibration`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from icmbench.reporting.statistics.bootstrap import interval, resample_indices
from icmbench.reporting.statistics.calibration import (
    calibrated,
    jackknife_groups,
    jackknife_weights,
)
from icmbench.reporting.statistics.curves import fit, rate_change
from icmbench.tasks.metrics.average_precision import (
    THRESHOLDS,
    average_precision,
    category_means,
    rank,
)

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Sample = Any
NORMAL = NormalDist()
METHODS = ("percentile", "bca", "calibrated")


@dataclass(frozen=True)
class Statistic:
    """A statistic: `draw(images, generator)` makes a sample, `values(sample, weights)` is (R,)."""

    draw: Callable[[int, np.random.Generator], Sample]
    values: Callable[[Sample, Counts], Floats]
    large: int = 100_000
    """Images of the sample whose value is taken for true."""
    bounds: tuple[float, float] = (0.0, 1.0)


def detections(categories: int, falloff: float, share: float) -> Statistic:
    """mAP of detections: images are easy or hard, category k is in `share / k ** falloff` of them.

    A hard image has worse boxes, lower scores and more false detections; false detections come in
    every image and category, so that what a rare category is worth hangs on few images.
    """

    def draw(images: int, generator: np.random.Generator) -> Sample:
        hard = generator.normal(0, 1, images)
        sample = []
        for category in range(categories):
            present = generator.random(images) < share / (category + 1) ** falloff
            objects = np.where(present, 1 + generator.poisson(1.0, images), 0)
            owner = np.repeat(np.arange(images), objects)
            skill = generator.normal(0.0, 1.0, len(owner)) - 0.8 * hard[owner]
            found = generator.random(len(owner)) < _logistic(skill + 1.5)
            score = _logistic(skill + generator.normal(0, 1.0, len(owner)))
            overlap = _logistic(skill + 0.8)
            false = np.repeat(
                np.arange(images), generator.poisson(0.3 * np.exp(0.3 * hard) * (1 + present))
            )
            image = np.concatenate([owner[found], false])
            scores = np.concatenate(
                [score[found], _logistic(generator.normal(-1.0, 0.8, len(false)))]
            )
            verdict = np.zeros((len(THRESHOLDS), len(image)), np.int8)
            verdict[:, : found.sum()] = overlap[found] > THRESHOLDS[:, np.newaxis]
            order = np.argsort(image, kind="stable")
            sample.append((objects, rank(image[order], scores[order], verdict[:, order])))
        return sample

    def values(sample: Sample, weights: Counts) -> Floats:
        tables = []
        for objects, ranked in sample:
            positives = weights @ objects
            precision = average_precision(ranked, np.maximum(positives, 1), weights)
            tables.append((precision, positives))
        return np.asarray(category_means(tables, len(weights)).mean(axis=0))

    return Statistic(draw, values)


def segments(classes: int) -> Statistic:
    """mIoU of label maps: class k covers fewer pixels of fewer images than class k - 1."""

    def draw(images: int, generator: np.random.Generator) -> Sample:
        hard = generator.normal(0, 1, images)
        share = 0.6 / np.arange(1, classes + 1.0) ** 0.7
        present = generator.random((images, classes)) < share
        area = np.where(present, generator.gamma(1.0, 1000.0, present.shape) * share, 0)
        right = area * _logistic(generator.normal(1.2, 0.7, area.shape) - 0.6 * hard[:, np.newaxis])
        return right, area, right + generator.gamma(0.5, 60.0, area.shape)

    def values(sample: Sample, weights: Counts) -> Floats:
        right, true, predicted = (weights @ part for part in sample)
        return np.asarray((right / (true + predicted - right)).mean(axis=1))

    return Statistic(draw, values, large=400_000)


def failures(share: float) -> Statistic:
    """Failure rate: each image fails with the probability `share`."""

    def draw(images: int, generator: np.random.Generator) -> Sample:
        return generator.random(images) < share

    def values(sample: Sample, weights: Counts) -> Floats:
        return np.asarray((weights @ sample) / weights.sum(axis=1))

    return Statistic(draw, values, large=4_000_000)


def bd_rates() -> Statistic:
    """log(1 + BD-rate) of two codecs of six points, whose rates differ image by image."""

    def draw(images: int, generator: np.random.Generator) -> Sample:
        hard, steps = generator.normal(0, 0.5, (images, 1)), np.arange(6)
        rate = np.exp(hard + 0.5 * steps + generator.normal(0, 0.1, (images, 6)))
        quality = 30 + 2 * steps - 1.5 * hard + generator.normal(0, 0.2, (images, 6))
        other = rate * np.exp(generator.normal(-0.2, 0.25, (images, 1)))
        return rate, quality, other, quality + generator.normal(0, 0.3, (images, 1))

    def values(sample: Sample, weights: Counts) -> Floats:
        means = [weights @ part / weights.sum(axis=1)[:, np.newaxis] for part in sample]
        return np.log1p(rate_change(fit(means[2], means[3]), fit(means[0], means[1]), 0.25))

    return Statistic(draw, values, large=400_000, bounds=(-np.inf, np.inf))


def coverage(
    statistic: Statistic, images: int, trials: int, resamples: int = 200
) -> dict[str, tuple[float, float, float]]:
    """Of each method: coverage, share of intervals above the truth, mean width. Deterministic."""
    whole = np.ones((1, statistic.large), np.int64)
    large = statistic.draw(statistic.large, np.random.default_rng(7))
    truth = float(statistic.values(large, whole)[0])
    generator = np.random.default_rng(3)
    results: dict[str, list[tuple[bool, bool, float]]] = {name: [] for name in METHODS}
    for trial in range(trials):
        sample = statistic.draw(images, generator)
        draws = resample_indices(images, resamples, seed=trial, dataset="d")
        drawn = np.stack([np.bincount(row, minlength=images) for row in draws])
        deleted = jackknife_weights(jackknife_groups(images, seed=trial, dataset="d"))
        once = np.ones((1, images), np.int64)
        found = statistic.values(sample, np.concatenate([once, drawn, deleted]))
        value, sampled, without = found[0], found[1 : 1 + resamples], found[1 + resamples :]
        ends = {
            "percentile": interval(sampled),
            "bca": bca(value, sampled, without),
            "calibrated": calibrated(value, sampled, without, statistic.bounds)[:2],
        }
        for name, (low, high) in ends.items():
            inside = low - 1e-12 <= truth <= high + 1e-12
            results[name].append((inside, truth < low - 1e-12, high - low))
    return {name: tuple(np.mean(rows, axis=0).tolist()) for name, rows in results.items()}


def bca(value: float, draws: Floats, deleted: Floats) -> tuple[float, float]:
    """The bias-corrected and accelerated interval, its acceleration from the grouped jackknife."""
    ordered = np.sort(draws)
    below = (ordered < value).sum() + 0.5 * (ordered == value).sum()
    shift = NORMAL.inv_cdf((below + 0.5) / (len(ordered) + 1))
    change = deleted.mean() - deleted
    spread = float((change**2).sum() ** 1.5)
    acceleration = float((change**3).sum()) / (6 * spread) if spread > 0 else 0.0
    ends = []
    for normal, rounded in ((-1.96, np.floor), (1.96, np.ceil)):
        moved = shift + normal
        level = NORMAL.cdf(shift + moved / (1 - acceleration * moved))
        place = int(rounded(level * (len(ordered) - 1)))
        ends.append(float(ordered[np.clip(place, 0, len(ordered) - 1)]))
    return ends[0], ends[1]


def _logistic(values: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-values)))


def main() -> None:
    """Print the table of docs/tasks.md."""
    statistics = {
        "mAP, 5 categories": (detections(5, 0.0, 0.3), (30, 50, 100, 500)),
        "mAP, 80 categories, most of them rare": (detections(80, 1.0, 0.5), (50, 100, 500)),
        "mIoU, 11 classes": (segments(11), (30, 50, 100, 500)),
        "failure rate of 5 %": (failures(0.05), (50, 100, 500)),
        "BD-rate": (bd_rates(), (11, 30, 100)),
    }
    print("| statistic | images | percentile | BCa | calibrated |\n|---|---:|---|---|---|")
    for title, (statistic, sizes) in statistics.items():
        for images in sizes:
            found = coverage(statistic, images, 100 if "80" in title else 300)
            cells = [f"{100 * found[name][0]:.0f} % ({found[name][2]:.3f})" for name in METHODS]
            print(f"| {title} | {images} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
