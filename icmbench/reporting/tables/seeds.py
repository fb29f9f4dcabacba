"""The table of seeds: spread of data-set means over the seeds of stochastic decoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from icmbench.reporting.statistics.bootstrap import mean
from icmbench.reporting.statistics.comparison import Grid, Point, compare, grids, numbers, restrict
from icmbench.reporting.statistics.seeds import split_seed

COLUMNS: Final = (
    "dataset", "family", "codec", "metric", "seeds", "images", "mean", "deviation", "least", "most",
)  # fmt: skip


def seeds_table(
    measurements: pd.DataFrame, metrics: Sequence[str], *, max_failed: float
) -> pd.DataFrame:
    """One row per metric of every point that was decoded with several seeds: `COLUMNS`.

    Each seed has its mean over the images that `rd.csv` averages over. `mean` is the mean of these
    means, the value of `rd.csv`; `deviation` their standard deviation (n - 1), `least` and `most`
    their range; empty where `rd.csv` has no value. `seeds` lists the seeds. Sorted by dataset,
    family, rate, codec spec, then in the order of `metrics`.

    Raises `MeasurementError` as `grids` does.
    """
    rows: list[dict[str, object]] = []
    for grid in grids(measurements, metrics):
        common = restrict(grid, compare(grid, max_failed, metrics))
        here = measurements[measurements["dataset"] == grid.dataset]
        rates = [mean(values) for values in common.values["bpp"]]
        order = sorted(
            range(len(common.points)),
            key=lambda row: (common.points[row].family, np.nan_to_num(rates[row], nan=np.inf)),
        )
        for number in order:
            point = common.points[number]
            if point not in common.seeds:
                continue
            seeds = " ".join(str(split_seed(spec)[1]) for spec in common.specs(point))
            base = {"dataset": grid.dataset, "family": point.family, "codec": point.codec}
            for metric in metrics:
                row = {**base, "metric": metric, "seeds": seeds, "images": len(common.images)}
                # Undefined for some image or point: no seed is averaged over other images.
                if not np.isnan(common.values[metric][number]).all():
                    row |= _spread(_means(here, common, point, metric))
                rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _means(measurements: pd.DataFrame, common: Grid, point: Point, metric: str) -> list[float]:
    """Mean over the compared images, by seed."""
    found = []
    for spec in common.specs(point):
        mine = (measurements["family"] == point.family) & (measurements["codec"] == spec)
        values = measurements[mine].set_index("image")[metric].reindex(list(common.images))
        found.append(mean(numbers(values)))
    return found


def _spread(means: Sequence[float]) -> dict[str, object]:
    values = np.array(means)
    finite = bool(np.isfinite(values).all())
    return {
        "mean": float(values.mean()),
        "deviation": float(values.std(ddof=1)) if finite else np.nan,
        "least": float(values.min()),
        "most": float(values.max()),
    }
