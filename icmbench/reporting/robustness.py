"""The robustness table: what the decoders made of damaged streams, counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from icmbench.coding.damage import BEST_EFFORT, DAMAGES, NONE, OUTCOMES
from icmbench.errors import MeasurementError
from icmbench.reporting.comparison import numbers
from icmbench.reporting.natural import natural_key

COLUMNS = (
    "codec",
    "damage",
    "trials",
    *OUTCOMES,
    "dataset",
    "family",
    "images",
    "psnr_undamaged",
    "psnr_median",
)


def robustness_table(trials: pd.DataFrame) -> pd.DataFrame:
    """One row per data set, codec string and kind of damage; columns `COLUMNS`.

    `trials` has the columns of `coding.robustness.damage_trials`. The outcomes add up to `trials`;
    `images`: images that were damaged; `psnr_undamaged`: median over them before the damage, dB;
    `psnr_median`: median over the trials of which a picture of the right size came out, dB, empty
    if none did. A codec of which no image decoded has rows with 0 trials. Sorted by data set and
    codec, the kinds of damage in their order, each before its best effort.

    Raises MeasurementError for an outcome or a kind of damage that is not known.
    """
    _check("outcome", set(trials["outcome"]), set(OUTCOMES))
    order = [damage + way for damage in DAMAGES for way in ("", BEST_EFFORT)]
    _check("damage", set(trials["damage"]), {NONE, *order})
    rows = []
    names = ["dataset", "family", "codec"]
    groups = [(tuple(map(str, key)), part) for key, part in trials.groupby(names, sort=True)]
    for key, part in sorted(groups, key=lambda item: (item[0][0], natural_key(item[0][2]))):
        kinds = set(part["damage"]) | set(DAMAGES)
        rows += [_row(key, part, damage) for damage in order if damage in kinds]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(key: tuple[str, ...], part: pd.DataFrame, damage: str) -> dict[str, Any]:
    chosen = part[part["damage"] == damage]
    whole = part[(part["damage"] == NONE) & part["image"].isin(chosen["image"])]
    counts = chosen["outcome"].value_counts()
    return {
        "codec": key[2],
        "damage": damage,
        "trials": len(chosen),
        **{outcome: int(counts.get(outcome, 0)) for outcome in OUTCOMES},
        "dataset": key[0],
        "family": key[1],
        "images": chosen["image"].nunique(),
        "psnr_undamaged": _median(whole["psnr"]),
        "psnr_median": _median(chosen["psnr"]),
    }


def _median(values: pd.Series) -> float:
    """The median, nan of nothing; of two middle ones the lower: halfway to inf is no place."""
    known = np.sort(numbers(values.dropna()))
    return float(known[(len(known) - 1) // 2]) if len(known) else float("nan")


def _check(what: str, found: set[str], known: set[str]) -> None:
    if wrong := sorted(found - known):
        raise MeasurementError(f"robustness trials: unknown {what} {wrong[0]!r}")
