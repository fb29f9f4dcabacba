"""The weights that were tried for the contrastive features, against none, and the one to use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.style import MetricInfo

COLUMNS = ("dataset", "metric", "alpha", "family", "bd_rate", "lo", "hi", "note", "chosen")
_NEEDED = ("dataset", "family", "anchor", "metric", "bd_rate", "lo", "hi", "note")
# Without plain spaces, so that a title breaks before "against" or nowhere.
_QUANTITY = "BD-rate against\u00a0\u03b1\u00a0=\u00a00\u00a0(%)"
_TYPES = dict.fromkeys(("alpha", "bd_rate", "lo", "hi"), "float64") | {"chosen": "int64"}


def alpha_sweep_table(
    bd_rate: pd.DataFrame, weights: Mapping[str, float], anchor: str
) -> pd.DataFrame:
    """BD-rates of the weights alpha of the clustering features against alpha 0, and the best alpha.

    Args:
        bd_rate: the BD-rate table.
        weights: codec entry -> its alpha, all different.
        anchor: the codec entry of alpha 0, whose own rows are 0 by definition.

    Columns are `COLUMNS`; rows are sorted by dataset, metric and alpha. BD-rates are fractions as
    in `bd_rate_table`. `chosen` is 1 in the rows of the alpha of lowest mean BD-rate over the pairs
    of data set and metric in which every alpha has a value; ties go to the smaller alpha. To be a
    fair choice, the data sets must not be those that results are reported on.

    Raises `MeasurementError` if a column is missing, a row is repeated, a weight is negative, not
    finite or repeated, the anchor's alpha is not 0, a codec entry has no row against it, or no pair
    has a value for every alpha.
    """
    rows = _compared(bd_rate, weights, anchor)
    table = pd.concat([rows, _anchor_rows(rows, anchor), _absent_rows(rows, weights, anchor)])
    table["alpha"] = table["family"].map({name: float(a) for name, a in weights.items()})
    table["chosen"] = (table["alpha"] == _least(table)).astype(int)
    table = table.sort_values(["dataset", "metric", "alpha"], kind="stable", ignore_index=True)
    return table[list(COLUMNS)].astype(_TYPES)


def chosen_weight(table: pd.DataFrame) -> float:
    """The alpha that `alpha_sweep_table` marked."""
    return float(table.loc[table["chosen"] == 1, "alpha"].iloc[0])


def sweep_rows(table: pd.DataFrame, metrics: Sequence[MetricInfo]) -> pd.DataFrame:
    """Rows of `alpha_sweep_table` for `sweep_figure`: BD-rates in percent, lower is better.

    Columns: dataset (one figure each), alpha, metric (title and quantity), value, lo, hi, better;
    in the order of `metrics`. Rows without a value are not drawn. A value that lies outside its
    percentile interval, as a biased statistic may, extends the drawn interval, not the table's.
    """
    shown = [metric for metric in metrics if metric.name in set(table["metric"])]
    order = {metric.name: number for number, metric in enumerate(shown)}
    rows = table[table["metric"].isin(order) & np.isfinite(table["bd_rate"])]
    rows = rows.assign(order=rows["metric"].map(order)).sort_values(["dataset", "order", "alpha"])
    value, lo, hi = (100.0 * rows[name] for name in ("bd_rate", "lo", "hi"))
    titles = {m.name: f"{m.title}: {_QUANTITY}" for m in shown}
    drawn = {
        "dataset": rows["dataset"],
        "alpha": rows["alpha"],
        "metric": rows["metric"].map(titles),
        "value": value,
        "lo": np.minimum(lo, value),
        "hi": np.maximum(hi, value),
        "better": "lower",
    }
    return pd.DataFrame(drawn).reset_index(drop=True)


def _compared(bd_rate: pd.DataFrame, weights: Mapping[str, float], anchor: str) -> pd.DataFrame:
    """The rows of the tried weights against the anchor, checked."""
    if missing := [name for name in _NEEDED if name not in bd_rate]:
        raise MeasurementError(f"a BD-rate table lacks the columns {', '.join(missing)}")
    alphas = [float(alpha) for alpha in weights.values()]
    if any(not 0 <= alpha < math.inf for alpha in alphas) or len(set(alphas)) < len(alphas):
        raise MeasurementError(f"weights are finite, not negative and distinct, not {alphas}")
    if weights.get(anchor) != 0:
        raise MeasurementError(f"the anchor {anchor!r} is not the codec entry of alpha 0")
    tried = sorted(set(weights) - {anchor})
    rows = bd_rate[(bd_rate["anchor"] == anchor) & bd_rate["family"].isin(tried)]
    if absent := sorted(set(tried) - set(rows["family"])):
        raise MeasurementError(f"no BD-rate of {', '.join(absent)} against {anchor}")
    if rows.duplicated(["dataset", "metric", "family"]).any():
        raise MeasurementError("a codec entry has two BD-rates of one data set and metric")
    notes = rows["note"].astype(object)  # an empty cell of a file is nan
    rows = rows.assign(note=notes.where(notes.notna(), ""))
    checked: pd.DataFrame = rows[[name for name in _NEEDED if name != "anchor"]]
    return checked


def _anchor_rows(rows: pd.DataFrame, anchor: str) -> pd.DataFrame:
    """0, exactly, wherever the anchor could be compared with some weight."""
    known = rows.assign(known=rows["bd_rate"].notna())
    pairs: pd.DataFrame = known.groupby(["dataset", "metric"], as_index=False).agg({"known": "any"})
    value = np.where(pairs["known"], 0.0, np.nan)
    note = np.where(pairs["known"], "anchor", "anchor; compared with no weight")
    pairs = pairs.assign(family=anchor, bd_rate=value, lo=value, hi=value, note=note)
    return pairs.drop(columns="known")


def _absent_rows(rows: pd.DataFrame, weights: Mapping[str, float], anchor: str) -> pd.DataFrame:
    """A row for every weight that the BD-rate table does not have in a data set and metric."""
    known = set(zip(rows["dataset"], rows["metric"], rows["family"], strict=True))
    pairs = sorted({(dataset, metric) for dataset, metric, _ in known})
    absent = [
        {"dataset": dataset, "metric": metric, "family": family, "note": "not compared"}
        for dataset, metric in pairs
        for family in sorted(set(weights) - {anchor})
        if (dataset, metric, family) not in known
    ]
    return pd.DataFrame(absent, columns=list(rows.columns)).astype(rows.dtypes)


def _least(table: pd.DataFrame) -> float:
    """The alpha of least mean BD-rate over the pairs that have a value for every alpha."""
    wide = table.pivot(index=["dataset", "metric"], columns="alpha", values="bd_rate")
    values = wide.to_numpy(float)
    values = values[np.isfinite(values).all(axis=1)]
    if not len(values) or values.shape[1] < 2:
        raise MeasurementError("no data set and metric with a BD-rate of every weight")
    # Exactly rounded sums: equal means tie, whatever the order of their terms.
    sums = [math.fsum(column) for column in values.T]
    return float(wide.columns[sums.index(min(sums))])  # alphas ascend
