"""The BD-rate table: every codec entry against every anchor for every metric, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from icmbench.core.errors import MeasurementError
from icmbench.reporting.statistics.bootstrap import (
    MIN_IMAGES,
    Floats,
    Indices,
    mean,
    resample_indices,
    resampled_means,
)
from icmbench.reporting.statistics.calibration import calibrated, jackknife_groups
from icmbench.reporting.statistics.comparison import MAX_FAILED, Grid, compare, grids, restrict
from icmbench.reporting.statistics.curves import Curves, common_interval, fit, rate_change
from icmbench.reporting.tables.curve_range import RANGE, behind

COLUMNS = (
    "dataset", "family", "anchor", "metric", "bd_rate", "lo", "hi", "overlap", "failed_resamples",
    "images", "points", "anchor_points", "note", *RANGE,
)  # fmt: skip
MIN_OVERLAP = 0.25
FEW_POINTS = 4
_TYPES = dict.fromkeys(
    ("bd_rate", "lo", "hi", "overlap", "quality_low", "quality_high"), "float64"
) | {
    "failed_resamples": "Int64",
    "images": "int64",
    "points": "Int64",
    "anchor_points": "Int64",
}


def bd_rate_table(
    measurements: pd.DataFrame,
    metrics: Mapping[str, bool],
    anchors: Sequence[str],
    *,
    resamples: int,
    seed: int,
    min_overlap: float = MIN_OVERLAP,
    max_failed: float = MAX_FAILED,
) -> pd.DataFrame:
    """Bjøntegaard-delta rates as fractions: -0.2 is 20 % fewer bits at equal quality.

    Args:
        metrics: column of `measurements` -> True where higher is better.
        anchors: codec entries to compare with.

    Columns are `COLUMNS`; rows are sorted by dataset and family, then in the order of `anchors` and
    `metrics`. There are no rows for a codec entry against itself, for a lossless codec entry (a
    metric is infinite at all its points), against an anchor that does not code the data set, or for
    a metric that is undefined on all images of a data set. All other combinations have a row, with
    the reason of a missing or weak value or interval in `note`, and the range and the points behind
    the value (`curve_range.behind`).

    A codec entry's curve joins the Pareto-optimal points among the means of its codec specs over
    the compared images (`comparison_set`); `points` and `anchor_points` count them. The value is
    that of the `bjontegaard` package with PCHIP (see `curves`), `overlap` the intersection ÷ union
    of the two quality ranges; there is no value below `min_overlap`. `lo` and `hi` are the 95 %
    interval of `calibration.calibrated` (of the mean difference of log-rates) over draws of images,
    the same for both curves, which are computed anew, Pareto selection included, for every draw.
    `failed_resamples` counts the draws without a value. With more than 10 % of them, or with fewer
    than 3 images, the interval is empty.

    Raises `MeasurementError` as `grids` and `resample_indices` do.
    """
    if not 0 <= min_overlap <= 1:
        raise MeasurementError(f"min_overlap is a share, not {min_overlap}")
    rows: list[dict[str, object]] = []
    for grid in grids(measurements, metrics):
        chosen = compare(grid, max_failed, metrics)
        draws = resample_indices(len(chosen.images), resamples, seed=seed, dataset=grid.dataset)
        groups = jackknife_groups(len(chosen.images), seed=seed, dataset=grid.dataset)
        sample, resampled = _sampler(draws, groups), Resampled(resamples)
        common = restrict(grid, chosen)
        rows += _dataset_rows(common, metrics, anchors, sample, resampled, min_overlap)
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(_TYPES)


@dataclass(frozen=True)
class Resampled:
    """The rows of resampled curves: row 0 is on all images, then the draws, then the jackknife's.

    Attributes:
        draws: number of bootstrap draws.
        whole: (rows,), false where a statistic is undefined on the row's images.
    """

    draws: int
    whole: NDArray[np.bool_] | None = None


_Sampler = Callable[[Floats], Floats]


def _sampler(draws: Indices, groups: NDArray[np.int64]) -> _Sampler:
    """values (images,) -> the mean of all, of every draw and without every group of the jackknife.

    Equal columns are computed once: the rates are the same for every metric.
    """
    known: dict[bytes, Floats] = {}
    kept = [groups != group for group in range(int(groups.max(initial=-1)) + 1)]

    def sample(values: Floats) -> Floats:
        key = values.tobytes()
        if key not in known:
            deleted = [mean(values[images]) for images in kept]
            known[key] = np.concatenate([[mean(values)], resampled_means(values, draws), deleted])
        return known[key]

    return sample


def _dataset_rows(
    common: Grid,
    metrics: Mapping[str, bool],
    anchors: Sequence[str],
    sample: _Sampler,
    resampled: Resampled,
    min_overlap: float,
) -> list[dict[str, object]]:
    table = {
        metric: _metric_curves(common, metric, higher_is_better, sample)
        for metric, higher_is_better in metrics.items()
    }
    # A metric without any value has no rows, unless that is so because no image is compared.
    shown = [m for m in metrics if not (common.images and np.isnan(common.values[m]).all())]
    lossless = _lossless(common, metrics)
    rows: list[dict[str, object]] = []
    families = common.families()
    for family in families:
        for anchor in anchors:
            if family in lossless or family == anchor or anchor not in families:
                continue
            for metric in shown:
                curves = table[metric]
                key = {
                    "dataset": common.dataset,
                    "family": family,
                    "anchor": anchor,
                    "metric": metric,
                    "images": len(common.images),
                }
                entry = compare_curves(
                    curves[family],
                    curves[anchor],
                    len(common.images),
                    min_overlap,
                    resampled,
                    higher_is_better=metrics[metric],
                )
                rows.append(key | entry)
    return rows


def _lossless(common: Grid, metrics: Mapping[str, bool]) -> set[str]:
    """Codec entries that have an infinite metric and no finite value of it."""
    found = set()
    for family, points in common.families().items():
        for metric in metrics:
            means = [mean(row) for row in common.values[metric][points]]
            if np.isinf(means).any() and not np.isfinite(means).any():
                found.add(family)
    return found


def _metric_curves(
    common: Grid, metric: str, higher_is_better: bool, sample: _Sampler
) -> dict[str, Curves | None]:
    """Curves of every codec entry; None for a codec entry without a finite point.

    Row 0 is the curve over all images of the comparison set, the following rows are resamples.
    """
    rate, quality = common.values["bpp"], common.values[metric]
    signed = quality if higher_is_better else -quality
    names = [point.codec for point in common.points]
    return {
        family: _family_curves(rate[points], signed[points], [names[p] for p in points], sample)
        for family, points in common.families().items()
    }


def _family_curves(
    rate: Floats, quality: Floats, names: Sequence[str], sample: _Sampler
) -> Curves | None:
    # A mean is finite only if all its images are, so that all its resamples are finite too.
    finite = [row for row, values in enumerate(quality) if np.isfinite(mean(values))]
    if not finite:
        return None
    rates = np.stack([sample(rate[row]) for row in finite], axis=1)
    qualities = np.stack([sample(quality[row]) for row in finite], axis=1)
    return fit(rates, qualities, [names[row] for row in finite])


def compare_curves(
    family: Curves | None,
    anchor: Curves | None,
    images: int,
    min_overlap: float,
    resampled: Resampled | None = None,
    *,
    higher_is_better: bool = True,
) -> dict[str, object]:
    """Columns of one row from `bd_rate` on; absent keys are empty columns.

    Args:
        family, anchor: row 0 is of all images, the following rows are as `resampled` describes.
        images: number of images compared; 0 where their number does not matter (no intervals).
        resampled: None: the curves have no other rows, and there is no interval.
        higher_is_better: False: the curves are of the metric's negative.
    """
    points = _points(family), _points(anchor)
    notes = _point_notes(points, images if resampled else MIN_IMAGES)
    entry: dict[str, object] = {"points": points[0], "anchor_points": points[1]}
    if family and anchor and min(points) >= 2:
        overlap = float(common_interval(family, anchor)[2][0])
        entry["overlap"] = overlap
        entry |= behind(family, anchor, higher_is_better=higher_is_better)
        if overlap == 0:
            notes.append("the curves do not overlap")
        elif overlap < min_overlap:
            notes.append(f"overlap {overlap:.3f} is below {min_overlap:g}")
        else:
            entry["bd_rate"] = _value(family, anchor)
            if resampled and images >= MIN_IMAGES:
                interval, more = _interval(rate_change(family, anchor, min_overlap), resampled)
                entry |= interval
                notes += more
    return entry | {"note": "; ".join(notes)}


def _interval(changes: Floats, resampled: Resampled) -> tuple[dict[str, object], list[str]]:
    """`lo`, `hi` and `failed_resamples` of a BD-rate, and notes on them.

    Taken of the mean difference of log-rates, which has no lower end at -100 %.
    """
    logs = np.log1p(changes)
    if resampled.whole is not None:
        logs = np.where(resampled.whole, logs, np.nan)
    draws = logs[1 : 1 + resampled.draws]
    low, high, note = calibrated(float(logs[0]), draws, logs[1 + resampled.draws :])
    failed = int(np.isnan(draws).sum())
    columns = {"lo": np.expm1(low), "hi": np.expm1(high), "failed_resamples": failed}
    notes = [note] if note else []
    if failed and np.isnan(low):
        notes.append(f"no interval: {failed} of {draws.size} resamples give no value")
    elif failed:
        rest = draws.size - failed
        notes.append(f"interval of {rest} of {draws.size} resamples: the others give no value")
    return columns, notes


def _points(curves: Curves | None) -> int:
    return 0 if curves is None else int(curves.points[0])


def _point_notes(points: tuple[int, int], images: int) -> list[str]:
    if not images:
        return ["no image is compared"]
    notes = [f"fewer than {MIN_IMAGES} images"] if images < MIN_IMAGES else []
    for owner, count in zip(("", "anchor: "), points, strict=True):
        if count < FEW_POINTS:
            notes.append(f"{owner}{count} Pareto point{'' if count == 1 else 's'}")
    return notes


def _value(family: Curves, anchor: Curves) -> float:
    """BD-rate of the original curves by the `bjontegaard` package, as a fraction.

    Its `bd_rate` is this call on log10 rates, turned into percent.
    """
    # Imported on first use: the package pulls in matplotlib.pyplot, which takes a second.
    from bjontegaard import bd_linear

    ours, theirs = family.points[0], anchor.points[0]
    difference = bd_linear(
        anchor.quality[0, :theirs],
        anchor.log_rate[0, :theirs],
        family.quality[0, :ours],
        family.log_rate[0, :ours],
        method="pchip",
        require_matching_points=False,
        min_overlap=0,
    )
    return float(10.0**difference - 1.0)
