"""The rate-distortion table: mean rate and mean quality of every codec spec, with intervals."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from icmbench.reporting.statistics.bootstrap import (
    MIN_IMAGES,
    Indices,
    interval,
    mean,
    resample_indices,
    resampled_means,
)
from icmbench.reporting.statistics.comparison import MAX_FAILED, Grid, compare, grids, restrict


def rd_table(
    measurements: pd.DataFrame,
    metrics: Iterable[str],
    *,
    resamples: int,
    seed: int,
    max_failed: float = MAX_FAILED,
) -> pd.DataFrame:
    """One row per data set and codec spec: means over the comparison set, 95 % intervals.

    Columns: dataset, codec, family, images (number averaged), failed (number without a result),
    then bpp and every metric, each followed by its `_lo` and `_hi`. Sorted by dataset, family,
    bpp, codec spec; independent of the order of the input.

    bpp and every metric are averaged over the same images, those of `comparison_set`. A metric
    that is undefined on all of them is empty; PSNR of a lossless codec spec is infinite. Intervals
    are percentile intervals over `resamples` bootstrap draws of images, with the same draws for
    every codec spec of a data set; with fewer than 3 images they are empty. Raises
    `MeasurementError` as `grids` and `resample_indices` do.
    """
    names = list(metrics)
    rows: list[dict[str, object]] = []
    for grid in grids(measurements, names):
        common = restrict(grid, compare(grid, max_failed, names))
        draws = resample_indices(len(common.images), resamples, seed=seed, dataset=grid.dataset)
        rows += _rows(common, grid.failed(), ["bpp", *names], draws)
    frame = pd.DataFrame(rows, columns=_columns(names))
    order = ["dataset", "family", "bpp", "codec"]
    return frame.sort_values(order, kind="stable", na_position="last", ignore_index=True)


def _columns(names: list[str]) -> list[str]:
    numbers = [f"{name}{end}" for name in ("bpp", *names) for end in ("", "_lo", "_hi")]
    return ["dataset", "codec", "family", "images", "failed", *numbers]


def _rows(
    common: Grid, failed: list[int], names: list[str], draws: Indices
) -> list[dict[str, object]]:
    rows = []
    for number, point in enumerate(common.points):
        row: dict[str, object] = {
            "dataset": common.dataset,
            "codec": point.codec,
            "family": point.family,
            "images": int(common.ok[number].sum()),
            "failed": failed[number],
        }
        for name in names:
            values = common.values[name][number]
            row[name] = mean(values)
            row[f"{name}_lo"], row[f"{name}_hi"] = (
                (np.nan, np.nan)
                if len(common.images) < MIN_IMAGES or np.isnan(values).all()
                else interval(resampled_means(values, draws))
            )
        rows.append(row)
    return rows
