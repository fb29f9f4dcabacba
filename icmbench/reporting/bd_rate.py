"""The BD-rate table: every family against every anchor for every metric, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from icmbench.errors import MeasurementError
from icmbench.reporting.bootstrap import (
    MIN_IMAGES,
    Floats,
    Indices,
    interval,
    mean,
    resample_indices,
    resampled_means,
)
from icmbench.reporting.comparison import MAX_FAILED, Grid, compare, grids, restrict
from icmbench.reporting.curves import Curves, common_interval, fit, rate_change

COLUMNS = (
    "dataset",
    "family",
    "anchor",
    "metric",
    "bd_rate",
    "lo",
    "hi",
    "overlap",
    "images",
    "points",
    "anchor_points",
    "note",
)
MIN_OVERLAP = 0.25
FEW_POINTS = 4
_TYPES = dict.fromkeys(("bd_rate", "lo", "hi", "overlap"), "float64") | {
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

    `metrics` gives for every metric whether higher is better, `anchors` the families compared
    with. Columns are `COLUMNS`; rows are sorted by dataset and family, then in the order of
    `anchors` and `metrics`. A family is not compared with itself, and a lossless family (some
    metric infinite at all its points) has no curve: neither has rows; nor has a metric that is
    undefined on all images of a data set. Everything else has a row, with `note` saying why a
    value or an interval is missing or weak.

    A family's curve joins the Pareto-optimal points among the means of its codec strings over
    the compared images (`comparison_set`); `points` and `anchor_points` count them. The value is
    that of the `bjontegaard` package with PCHIP (see `curves`), `overlap` the intersection ÷ union
    of the two quality ranges; there is no value below `min_overlap`. `lo` and `hi` are the 95 %
    percentile interval over draws of images, the same for both curves, which are computed anew,
    Pareto selection included, for every draw; there is none below 3 images or if fewer than 90 %
    of the draws give a value.

    Raises `MeasurementError` as `grids` and `resample_indices` do.
    """
    if not 0 <= min_overlap <= 1:
        raise MeasurementError(f"min_overlap is a share, not {min_overlap}")
    rows: list[dict[str, object]] = []
    for grid in grids(measurements, metrics):
        chosen = compare(grid, max_failed, metrics)
        draws = resample_indices(len(chosen.images), resamples, seed=seed, dataset=grid.dataset)
        rows += _dataset_rows(restrict(grid, chosen), metrics, anchors, draws, min_overlap)
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(_TYPES)


_Sampler = Callable[[Floats], Floats]


def _sampler(draws: Indices) -> _Sampler:
    """values (images,) -> their mean, then its resamples: (1 + resamples,).

    Equal columns are computed once: the rates are the same for every metric.
    """
    known: dict[bytes, Floats] = {}

    def sample(values: Floats) -> Floats:
        key = values.tobytes()
        if key not in known:
            known[key] = np.concatenate([[mean(values)], resampled_means(values, draws)])
        return known[key]

    return sample


def _dataset_rows(
    common: Grid,
    metrics: Mapping[str, bool],
    anchors: Sequence[str],
    draws: Indices,
    min_overlap: float,
) -> list[dict[str, object]]:
    sample = _sampler(draws)
    table = {
        metric: _metric_curves(common, metric, higher_is_better, sample)
        for metric, higher_is_better in metrics.items()
    }
    # A metric without any value has no rows, unless that is so because no image is compared.
    shown = [m for m in metrics if not (common.images and np.isnan(common.values[m]).all())]
    lossless = _lossless(common, metrics)
    rows: list[dict[str, object]] = []
    for family in common.families():
        for anchor in anchors:
            if family in lossless or family == anchor:
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
                if anchor in curves or not common.images:
                    entry = compare_curves(
                        curves[family], curves.get(anchor), len(common.images), min_overlap
                    )
                else:
                    entry = {"note": "the anchor was not measured on this data set"}
                rows.append(key | entry)
    return rows


def _lossless(common: Grid, metrics: Mapping[str, bool]) -> set[str]:
    """Families that have an infinite metric and no finite value of it."""
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
    """The curves of every family.

    Row 0 of a family's curves is the original, the others are the resamples; None for a family
    without any finite point.
    """
    rate, quality = common.values["bpp"], common.values[metric]
    signed = quality if higher_is_better else -quality
    return {
        family: _family_curves(rate[points], signed[points], sample)
        for family, points in common.families().items()
    }


def _family_curves(rate: Floats, quality: Floats, sample: _Sampler) -> Curves | None:
    # A mean is finite only if all its images are, so that all its resamples are finite too.
    finite = [row for row, values in enumerate(quality) if np.isfinite(mean(values))]
    if not finite:
        return None
    rates = np.stack([sample(rate[row]) for row in finite], axis=1)
    qualities = np.stack([sample(quality[row]) for row in finite], axis=1)
    return fit(rates, qualities)


def compare_curves(
    family: Curves | None, anchor: Curves | None, images: int, min_overlap: float
) -> dict[str, object]:
    """The columns of one row from `bd_rate` on; what is left out is empty.

    Args:
        family, anchor: row 0 is the original, the others are the resamples.
        images: number of images compared.
    """
    points = _points(family), _points(anchor)
    notes = _point_notes(points, images)
    entry: dict[str, object] = {"points": points[0], "anchor_points": points[1]}
    if family and anchor and min(points) >= 2:
        overlap = float(common_interval(family, anchor)[2][0])
        entry["overlap"] = overlap
        if overlap == 0:
            notes.append("the curves do not overlap")
        elif overlap < min_overlap:
            notes.append(f"overlap {overlap:.3f} is below {min_overlap:g}")
        else:
            entry["bd_rate"] = _value(family, anchor)
            if images >= MIN_IMAGES:
                samples = rate_change(family, anchor, min_overlap)[1:]
                lo, hi = interval(samples)
                entry |= {"lo": lo, "hi": hi}
                notes += _interval_notes(samples, lo)
    return entry | {"note": "; ".join(notes)}


def _points(curves: Curves | None) -> int:
    return 0 if curves is None else int(curves.points[0])


def _interval_notes(samples: Floats, lo: float) -> list[str]:
    missing = int(np.isnan(samples).sum())
    kind = "no interval" if np.isnan(lo) else "interval is incomplete"
    return [f"{kind}: {missing} of {samples.size} resamples give no value"] if missing else []


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
