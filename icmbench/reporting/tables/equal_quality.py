"""Bytes at equal quality: the table of ratios between codecs, paired by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from icmbench.reporting.statistics.bootstrap import Floats, Indices, mean, resample_indices
from icmbench.reporting.statistics.comparison import MAX_FAILED, Grid, compare, grids, restrict
from icmbench.reporting.statistics.equal_quality import log_rates_at
from icmbench.reporting.statistics.equal_rate import change_interval

COLUMNS: Final = (
    "dataset", "metric", "quality", "family", "anchor", "ratio", "lo", "hi", "bpp", "anchor_bpp",
    "images", "left_out", "better", "note",
)  # fmt: skip
_TYPES: Final = {
    **dict.fromkeys(("quality", "ratio", "lo", "hi", "bpp", "anchor_bpp", "better"), "float64"),
    **dict.fromkeys(("images", "left_out"), "int64"),
}


def equal_quality_table(
    measurements: pd.DataFrame,
    metrics: Mapping[str, bool],
    anchors: Sequence[str],
    qualities: Mapping[str, Sequence[float]],
    *,
    resamples: int,
    seed: int,
    max_failed: float = MAX_FAILED,
) -> pd.DataFrame:
    """Ratios of bytes between every codec entry and every anchor at equal quality.

    Args:
        metrics: column of `measurements` -> True where higher is better: as for `rd.csv`, since
            they decide the images that are compared.
        qualities: metric -> levels; metrics that are not among `metrics` have no rows.

    Columns are `COLUMNS`. On each image of the comparison set the rates of both codec entries at
    `quality` are read off their curves (`equal_quality.log_rates_at`); nothing is extrapolated.
    `images` counts those on which both curves reach the level, `left_out` the others. `ratio` is
    the geometric mean of bytes of the codec entry ÷ bytes of the anchor over the former; `bpp` and
    `anchor_bpp` are geometric means, too, so that their quotient is `ratio`. `better` is the share
    of the images on which the codec entry needs fewer bytes (equal: half). `lo` and `hi` are the
    95 % percentile interval of the mean logarithm over draws of images, the same for all pairs.

    Codec entries of one point and metrics without any value have no rows. Rows are in the order of
    data sets, `qualities`, levels, codec entries and `anchors`. Raises `MeasurementError` as
    `grids` does.
    """
    rows: list[dict[str, object]] = []
    shown = {metric: sorted(qualities[metric]) for metric in qualities if metric in metrics}
    for grid in grids(measurements, metrics):
        chosen = compare(grid, max_failed, metrics)
        draws = resample_indices(len(chosen.images), resamples, seed=seed, dataset=grid.dataset)
        common = restrict(grid, chosen)
        for metric, levels in shown.items():
            if not np.isnan(common.values[metric]).all():
                rows += _metric_rows(common, metric, metrics[metric], levels, anchors, draws)
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(_TYPES)


def _metric_rows(
    common: Grid,
    metric: str,
    higher: bool,
    levels: Sequence[float],
    anchors: Sequence[str],
    draws: Indices,
) -> list[dict[str, object]]:
    families = [name for name, points in common.families().items() if len(points) >= 2]
    rates = {name: log_rates_at(common, name, metric, higher, levels) for name in families}
    return [
        {
            "dataset": common.dataset,
            "metric": metric,
            "quality": level,
            "family": family,
            "anchor": anchor,
            **_entry(rates[family][number], rates[anchor][number], draws, (family, anchor)),
        }
        for number, level in enumerate(levels)
        for family in families
        for anchor in anchors
        if anchor in families and anchor != family
    ]


def _entry(
    ours: Floats, theirs: Floats, draws: Indices, names: tuple[str, str]
) -> dict[str, object]:
    """Columns of one row from `ratio` on; absent keys are empty columns."""
    change = ours - theirs
    both = ~np.isnan(change)
    images = int(both.sum())
    entry: dict[str, object] = {"images": images, "left_out": len(change) - images}
    if not images:
        ends = [n for n, r in zip(names, (ours, theirs), strict=True) if np.isnan(r).all()]
        missing = " and of ".join(ends or names)
        return entry | {"note": f"on no image within the curve of {missing}"}
    low, high, note = change_interval(change, draws)
    return entry | {
        "ratio": 10 ** mean(change),
        "lo": 10**low,
        "hi": 10**high,
        "bpp": 10 ** mean(ours[both]),
        "anchor_bpp": 10 ** mean(theirs[both]),
        "better": float((change[both] < 0).mean() + 0.5 * (change[both] == 0).mean()),
        "note": note,
    }
