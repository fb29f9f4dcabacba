"""The table of feature gaps: means over the comparison set, with intervals.

A feature gap is the distance between the features of a task model on a reconstruction and on the
original; see `icmbench.studies.feature_gap`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd

from icmbench.core.errors import MeasurementError
from icmbench.reporting.statistics.bootstrap import (
    MIN_IMAGES,
    Floats,
    Indices,
    interval,
    mean,
    resample_indices,
    resampled_means,
)
from icmbench.reporting.statistics.comparison import Grid, Point, compare, grids, restrict
from icmbench.tasks.attempt import OK

COLUMNS: Final = (
    "dataset", "codec", "family", "task", "model", "depth", "stage", "gap", "lo", "hi", "images",
    "failed", "bpp",
)  # fmt: skip


def gap_table(
    gaps: pd.DataFrame,
    measurements: pd.DataFrame,
    *,
    task: str,
    model: str,
    resamples: int,
    seed: int,
    max_failed: float,
) -> pd.DataFrame:
    """Mean gap of every codec spec at every depth of a task's model, on one data set.

    Args:
        gaps: rows of `icmbench.studies.feature_gap.COLUMNS`, all codecs and shards.
        measurements: rows of this data set, all codecs, for the comparison set and the rates.

    Returns:
        `COLUMNS`, sorted by family, rate, codec spec and depth. `lo` and `hi`: 95 % percentile
        interval over bootstrap draws of images, the same draws for every codec and depth; empty
        with fewer than 3 images. A codec spec has no value where coding, or the model on its
        reconstructions, failed on too many images; `failed` counts both. Where the model failed on
        all images, the depth is 0.

    Raises:
        MeasurementError: an image of the comparison set has no gap or two gaps at a depth; and as
            `grids`.
    """
    (coded,) = grids(measurements, ())
    grid = _answered(coded, gaps)
    chosen = compare(grid, max_failed)
    common = restrict(grid, chosen)
    draws = resample_indices(len(common.images), resamples, seed=seed, dataset=grid.dataset)
    good = gaps[gaps["status"] == OK]
    stages = (good if len(good) else gaps)[["depth", "stage"]].drop_duplicates()
    stages = stages.sort_values("depth")
    if stages["depth"].duplicated().any():
        raise MeasurementError(f"feature gaps of {task} on {grid.dataset}: stages of two networks")
    failed = grid.failed()
    rows: list[dict[str, object]] = []
    for number, point in enumerate(common.points):
        mine = good[(good["family"] == point.family) & good["codec"].isin(grid.specs(point))]
        whole = bool(common.images) and bool(common.ok[number].all())
        base = {"dataset": grid.dataset, "codec": point.codec, "family": point.family}
        base |= {"task": task, "model": model}
        side = {"failed": failed[number], "bpp": mean(common.values["bpp"][number])}
        for depth, stage in stages.itertuples(index=False):
            found: dict[str, object] = {"gap": np.nan, "lo": np.nan, "hi": np.nan, "images": 0}
            if whole:
                where = f"{point.codec} ({task}, {stage})"
                here = mine[mine["depth"] == depth]
                seeds = [here[here["codec"] == spec] for spec in grid.specs(point)]
                values = np.mean([_values(one, common, where) for one in seeds], axis=0)
                found = _entry(values, draws)
            rows.append({**base, "depth": depth, "stage": stage, **found, **side})
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    keys = ["dataset", "task", "family", "bpp", "codec", "depth"]
    return frame.sort_values(keys, kind="stable", ignore_index=True)


def _answered(grid: Grid, gaps: pd.DataFrame) -> Grid:
    """The grid, where images that the model failed on count as failures."""
    rows = {
        Point(point.family, spec): row
        for row, point in enumerate(grid.points)
        for spec in grid.specs(point)
    }
    columns = {image: column for column, image in enumerate(grid.images)}
    ok = grid.ok.copy()
    bad = gaps.loc[gaps["status"] != OK, ["family", "codec", "image"]]
    for family, codec, image in bad.itertuples(index=False):
        if image in columns and (row := rows.get(Point(family, codec))) is not None:
            ok[row, columns[image]] = False
    return replace(grid, ok=ok)


def _values(mine: pd.DataFrame, common: Grid, where: str) -> Floats:
    """The gaps of the images of the comparison set in their order, (images,)."""
    if mine["image"].duplicated().any():
        raise MeasurementError(f"feature gaps of {where}: an image occurs twice")
    values = mine.set_index("image")["gap"].reindex(list(common.images))
    if values.isna().any():
        name = values.index[values.isna()][0]
        raise MeasurementError(f"feature gaps of {where}: none of image {name!r}")
    found: Floats = values.to_numpy(np.float64)
    return found


def _entry(values: Floats, draws: Indices) -> dict[str, object]:
    lo, hi = np.nan, np.nan
    if len(values) >= MIN_IMAGES:
        lo, hi = interval(resampled_means(values, draws))
    return {"gap": mean(values), "lo": lo, "hi": hi, "images": len(values)}
