"""Notes on rate scales that are not monotone: a finer setting with a worse file."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pandas as pd

_SAME: Final = 1e-9  # relative difference of two means that is rounding


def scale_notes(
    table: pd.DataFrame,
    scales: Mapping[str, Sequence[Sequence[str]]],
    metrics: Mapping[str, bool],
) -> list[str]:
    """A note for every row of `table` whose setting is worse than the next coarser one.

    A scale is a list of codec specs of one entry, in the order of the key that steers the rate; its
    coarse end is that of the lower mean rate. From each setting to the next finer one, neither the
    mean rate may fall nor the mean of a metric get worse. A setting of which that is not true has a
    note, which names the coarser setting; every other row has ''. Settings without averages are
    passed over.

    Args:
        table: rows of `rd_table`.
        scales: scales of every codec entry (`icmbench.config.rate_scales`).
        metrics: columns of `table` -> whether higher is better.
    """
    rows = {(r["dataset"], r["family"], r["codec"]): r for r in table.to_dict("records")}
    found: dict[tuple[str, str, str], str] = {}
    for dataset in table["dataset"].unique():
        for family, lists in scales.items():
            for scale in lists:
                present = [rows[key] for s in scale if (key := (dataset, family, s)) in rows]
                for row, note in _faults(present, metrics):
                    found[dataset, family, row["codec"]] = note
    return [found.get(key, "") for key in rows]


def _faults(
    scale: Sequence[Mapping[Any, Any]], metrics: Mapping[str, bool]
) -> Iterator[tuple[Mapping[Any, Any], str]]:
    rows = [row for row in scale if not math.isnan(row["bpp"])]
    if rows and rows[-1]["bpp"] < rows[0]["bpp"]:
        rows.reverse()
    for coarse, fine in itertools.pairwise(rows):
        faults = ["fewer bits"] if _below(fine["bpp"], coarse["bpp"]) else []
        worse = [
            name
            for name, higher_is_better in metrics.items()
            if _below(*((fine[name], coarse[name])[:: 1 if higher_is_better else -1]))
        ]
        faults += [f"worse {', '.join(worse)}"] if worse else []
        if faults:
            yield fine, f"rate scale not monotone: {' and '.join(faults)} than {coarse['codec']}"


def _below(one: float, other: float) -> bool:
    """True where a mean is below another by more than rounding; never for undefined ones."""
    return one < other and not math.isclose(one, other, rel_tol=_SAME)
