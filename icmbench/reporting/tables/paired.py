"""Paired differences between codecs at equal rate: the table, for image metrics and for tasks.

Two codecs are compared on the same images at the same rate, between their operating points: no file
was coded at exactly these rates. The points themselves, as measured, stand in the other tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from icmbench.reporting.statistics.bootstrap import (
    MIN_IMAGES,
    Floats,
    Indices,
    mean,
    resample_indices,
)
from icmbench.reporting.statistics.calibration import calibrated
from icmbench.reporting.statistics.comparison import MAX_FAILED, Grid, compare, grids, restrict
from icmbench.reporting.statistics.equal_rate import (
    change_interval,
    failed_note,
    read_off,
    values_at_rates,
)

COLUMNS: Final = (
    "dataset", "task", "metric", "bpp", "family", "against", "value", "value_against",
    "difference", "lo", "hi", "images", "left_out", "better", "note",
)  # fmt: skip
_TYPES: Final = {
    **dict.fromkeys(
        ("bpp", "value", "value_against", "difference", "lo", "hi", "better"), "float64"
    ),
    **dict.fromkeys(("images", "left_out"), "int64"),
}
# A pooled metric of a task: codec entry -> rates and values of its points, each (rows, points).
PooledCurves = Mapping[str, tuple[Floats, Floats]]


def paired_table(
    measurements: pd.DataFrame,
    metrics: Mapping[str, bool],
    anchors: Sequence[str],
    rates: Sequence[float],
    *,
    resamples: int,
    seed: int,
    max_failed: float = MAX_FAILED,
) -> pd.DataFrame:
    """Differences of image metrics between every codec entry and every anchor at equal rates.

    Args:
        metrics: column of `measurements` -> True where higher is better.
        rates: bits per pixel.

    Columns are `COLUMNS`; `task` is empty. On each image of the comparison set the curves of both
    codec entries are read off at `bpp` (`equal_rate.read_off`); nothing is extrapolated. `images`
    counts those on which both curves reach the rate, `left_out` the others. `value` and
    `value_against` are the means over the former, `difference` theirs, `better` the share of them
    on which the codec entry is better (equal: half). `lo` and `hi` are the 95 % percentile interval
    of the mean difference over draws of images, the same for all pairs.

    Codec entries of one point and metrics without any value have no rows. Rows are in the order of
    data sets, `metrics`, rates, codec entries and `anchors`. Raises `MeasurementError` as `grids`
    does.
    """
    rows: list[dict[str, object]] = []
    for grid in grids(measurements, metrics):
        chosen = compare(grid, max_failed, metrics)
        draws = resample_indices(len(chosen.images), resamples, seed=seed, dataset=grid.dataset)
        rows += _dataset_rows(restrict(grid, chosen), metrics, anchors, sorted(rates), draws)
    return frame(rows)


def frame(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Rows as the table, with its columns and types."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS)).astype(_TYPES)


def _pairs(families: Sequence[str], anchors: Sequence[str]) -> list[tuple[str, str]]:
    known = [anchor for anchor in anchors if anchor in families]
    return [(name, anchor) for name in families for anchor in known if name != anchor]


def _dataset_rows(
    common: Grid,
    metrics: Mapping[str, bool],
    anchors: Sequence[str],
    rates: list[float],
    draws: Indices,
) -> list[dict[str, object]]:
    families = [name for name, points in common.families().items() if len(points) >= 2]
    rows: list[dict[str, object]] = []
    for metric, higher in metrics.items():
        if np.isnan(common.values[metric]).all():
            continue
        values = {f: values_at_rates(common, f, metric, higher, rates) for f in families}
        short = [family for family in families if _points(common, family, metric) < 2]
        for number, rate in enumerate(rates):
            for family, anchor in _pairs(families, anchors):
                key = {"dataset": common.dataset, "task": "", "metric": metric, "bpp": rate}
                key |= {"family": family, "against": anchor}
                pair = values[family][number], values[anchor][number]
                entry = _image_entry(*pair, higher, draws, (family, anchor))
                if names := [name for name in (family, anchor) if name in short]:
                    entry["note"] = f"fewer than two points with a value: {' and '.join(names)}"
                rows.append(key | entry)
    return rows


def _points(common: Grid, family: str, metric: str) -> int:
    """Number of points with a finite value, from which a curve is made."""
    values = common.values[metric][common.families()[family]]
    return int(np.isfinite(values).all(axis=1).sum())


def _image_entry(
    ours: Floats, theirs: Floats, higher: bool, draws: Indices, names: tuple[str, str]
) -> dict[str, object]:
    """Columns of one row from `value` on; absent keys are empty columns."""
    change = ours - theirs
    both = ~np.isnan(change)
    images = int(both.sum())
    entry: dict[str, object] = {"images": images, "left_out": len(change) - images, "note": ""}
    if not images:
        return entry | {"note": _why_empty(names, (ours, theirs))}
    gain = change[both] if higher else -change[both]
    entry |= {
        "value": mean(ours[both]),
        "value_against": mean(theirs[both]),
        "difference": mean(change),
        "better": float((gain > 0).mean() + 0.5 * (gain == 0).mean()),
    }
    low, high, note = change_interval(change, draws)
    return entry | {"lo": low, "hi": high, "note": note}


def _why_empty(names: tuple[str, str], pair: tuple[Floats, Floats]) -> str:
    short = [n for n, values in zip(names, pair, strict=True) if np.isnan(values).all()]
    return f"this rate is beyond the curve of {' and of '.join(short or names)}"


def paired_task_rows(
    key: Mapping[str, object],
    curves_of: Callable[[str], PooledCurves],
    directions: Mapping[str, bool],
    anchors: Sequence[str],
    rates: Sequence[float],
    *,
    resamples: int,
    images: int,
) -> list[dict[str, object]]:
    """Differences of a task's metrics between every codec entry and every anchor at equal rates.

    A task metric is pooled: it has one value for all images (or for a draw, or for all but one
    group of the jackknife) and none per image, so `better` is empty. The values at the operating
    points are joined over the mean rate of the same images and read off at `bpp`. The interval is
    of `calibration.calibrated`.

    Args:
        key: `dataset` and `task`.
        curves_of: metric -> its points by family; rows as `bd_rate.Resampled` describes.
        directions: metric -> whether higher is better.
        images: number of images that are compared.
    """
    rows: list[dict[str, object]] = []
    ordered = sorted(rates)
    for metric, higher in directions.items():
        sign = 1.0 if higher else -1.0
        curves = {
            family: _pooled(rate, sign * values, ordered) * sign
            for family, (rate, values) in sorted(curves_of(metric).items())
            if rate.shape[1] >= 2
        }
        for number, rate in enumerate(ordered):
            for family, anchor in _pairs(list(curves), anchors):
                names = {"metric": metric, "bpp": rate, "family": family, "against": anchor}
                pair = curves[family][number], curves[anchor][number]
                entry = _pooled_entry(*pair, resamples, images, (family, anchor))
                rows.append({**key, **names, **entry})
    return rows


def _pooled(rate: Floats, quality: Floats, rates: Sequence[float]) -> Floats:
    """Values at the rates, (rates, rows); nan where a row has a point without a value."""
    found = np.full((len(rates), len(rate)), np.nan)
    whole = np.asarray(np.isfinite(quality).all(axis=1), np.bool_)
    found[:, whole] = read_off(rate[whole], quality[whole], rates)
    return found


def _pooled_entry(
    ours: Floats, theirs: Floats, resamples: int, images: int, names: tuple[str, str]
) -> dict[str, object]:
    change = ours - theirs
    entry: dict[str, object] = {"images": 0, "left_out": images, "note": ""}
    if np.isnan(change[0]):
        return entry | {"note": _why_empty(names, (ours[:1], theirs[:1]))}
    entry |= {"value": ours[0], "value_against": theirs[0], "difference": change[0]}
    entry |= {"images": images, "left_out": 0}
    if images < MIN_IMAGES:
        return entry | {"note": f"fewer than {MIN_IMAGES} images"}
    samples = change[1 : 1 + resamples]
    low, high, note = calibrated(float(change[0]), samples, change[1 + resamples :])
    notes = [text for text in (note, failed_note(samples, low)) if text]
    return entry | {"lo": low, "hi": high, "note": "; ".join(notes)}
