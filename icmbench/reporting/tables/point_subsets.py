"""BD-rates from a table of means (`rd.csv`), over a subset of its operating points.

The means are those of the table, so there are no intervals: these need the measurements of every
image, as `bd_rate_table` has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from icmbench.core.errors import ConfigError, MeasurementError
from icmbench.core.suggest import unknown
from icmbench.core.typed_csv import read_table
from icmbench.reporting.statistics.curves import Curves, fit
from icmbench.reporting.tables.bd_rate import MIN_OVERLAP, compare_curves
from icmbench.reporting.tables.curve_range import RANGE

NAMES: Final = ("dataset", "codec", "family")
COLUMNS: Final = (
    "dataset", "family", "anchor", "metric", "bd_rate", "overlap", "points", "anchor_points",
    "note", *RANGE,
)  # fmt: skip


def read_rd(path: Path) -> pd.DataFrame:
    """The table `rd.csv`: names as text, everything else as numbers.

    Raises MeasurementError where the file is missing, is no table or lacks a column.
    """
    if not path.is_file():
        raise MeasurementError(f"{path}: no such file; give the rd.csv of a run (results/tables)")
    table = read_table(path)
    if missing := [name for name in (*NAMES, "bpp") if name not in table]:
        raise MeasurementError(
            f"{path}: no column {', '.join(missing)}; give the rd.csv of a run (results/tables)"
        )
    return table


def choose_points(table: pd.DataFrame, patterns: Sequence[str]) -> pd.DataFrame:
    """The rows of the points that patterns name.

    A pattern is a codec spec, or has wildcards (`*`, `?`, `[…]`). Codec entries of which no point
    is named keep all their points, so that an anchor need not be listed. Without patterns all
    points are kept.

    Raises ConfigError where a pattern names no point.
    """
    named = np.zeros(len(table), dtype=bool)
    codecs = list(table["codec"])
    for pattern in patterns:
        hits = np.array([codec == pattern or fnmatchcase(codec, pattern) for codec in codecs])
        if not hits.any():
            raise ConfigError(unknown("point", pattern, set(codecs)))
        named |= hits
    touched = set(table.loc[named, "family"])
    return table[named | ~table["family"].isin(touched)]


def subset_bd_rates(
    table: pd.DataFrame,
    metrics: Mapping[str, bool],
    anchors: Iterable[str],
    *,
    min_overlap: float = MIN_OVERLAP,
) -> pd.DataFrame:
    """BD-rates of every codec entry against every anchor: `COLUMNS`, a row per data set and metric.

    Computed as in `bd_rate.csv` (PCHIP through the Pareto-optimal points, values as fractions, none
    below `min_overlap`). Points without a finite value are left out, as are codec entries without
    any and lossless ones.

    Args:
        table: rows of `rd.csv`.
        metrics: column -> whether higher is better.
        anchors: codec entries to compare with.

    Raises ConfigError where an anchor is no codec entry of the table.
    """
    # Imported on first use, as the package of the figures loads matplotlib.
    from icmbench.reporting.figures.lossless import lossless

    rows: list[dict[str, object]] = []
    names = list(anchors)
    for name in names:
        if name not in set(table["family"]):
            raise ConfigError(unknown("anchor", name, set(table["family"])))
    for dataset, rows_of in table.groupby("dataset", sort=True):
        part = rows_of[~lossless(rows_of)]
        for metric, higher_is_better in metrics.items():
            curves = mean_curves(part, metric, higher_is_better)
            for family in curves:
                for anchor in names:
                    if anchor == family:
                        continue
                    key: dict[str, object] = {"dataset": dataset, "family": family}
                    key |= {"anchor": anchor, "metric": metric}
                    pair = curves[family], curves.get(anchor)
                    rows.append(
                        key
                        | compare_curves(*pair, 0, min_overlap, higher_is_better=higher_is_better)
                    )
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    order = ["dataset", "family"]
    return frame.sort_values(order, kind="stable", ignore_index=True)


def mean_curves(part: pd.DataFrame, metric: str, higher_is_better: bool) -> dict[str, Curves]:
    """The curve of every codec entry through the means of its points, by entry.

    Args:
        part: columns `family, codec, bpp` and the metric; a point without a finite value is left
            out.
    """
    found = {}
    sign = 1.0 if higher_is_better else -1.0
    for family, rows in part.groupby("family", sort=True):
        values = rows[["bpp", metric]].to_numpy(np.float64)
        finite = np.isfinite(values).all(axis=1)
        if finite.any():
            names = [str(name) for name in rows["codec"][finite]]
            rate, quality = values[finite].T
            found[str(family)] = fit(rate[None], sign * quality[None], names)
    return found
