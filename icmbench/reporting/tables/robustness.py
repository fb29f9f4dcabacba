"""The robustness table: what the decoders made of damaged streams, counted, and what other machines
made of whole ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from icmbench.core.errors import MeasurementError
from icmbench.evaluation.agreement import AGREEMENT
from icmbench.evaluation.damage import BEST_EFFORT, DAMAGES, NONE, OUTCOMES
from icmbench.reporting.statistics.comparison import numbers
from icmbench.reporting.statistics.natural import natural_key

# Of an undamaged stream that another machine decoded; `refused` is shared.
ACROSS = tuple(name for name in AGREEMENT if name != "refused")
COLUMNS = (
    "codec", "damage", "trials", *OUTCOMES, *ACROSS, "max_difference", "dataset", "family",
    "images", "psnr_undamaged", "psnr_median",
)  # fmt: skip
ELSEWHERE = "another machine: "
_COUNTS = (*OUTCOMES, *ACROSS, "max_difference")  # empty where they do not apply

Key = tuple[str, ...]  # data set, family, codec spec


def robustness_table(
    trials: pd.DataFrame, verifications: Mapping[str, pd.DataFrame] | None = None
) -> pd.DataFrame:
    """One row per data set, codec spec and kind of damage; columns `COLUMNS`.

    `trials` has the columns of `coding.robustness.damage_trials`. The outcomes add up to `trials`;
    `images`: images that were damaged; `psnr_undamaged`: median over them before the damage, dB;
    `psnr_median`: median over the trials of which an image of the right size came out, dB, empty
    if none did. A codec of which no image decoded has rows with 0 trials. Sorted by data set and
    codec, the kinds of damage in their order, each before its best effort.

    `verifications` are the tables of `icmbench verify` (`coding.agreement.COLUMNS`) by name of the
    other machine. Each adds a row `another machine: <name>` per data set and codec spec, behind
    those of damage: `trials` undamaged streams, of which `identical`, `within_1`, `different`,
    `refused` and `missing` add up to it; `max_difference`: of a code value, over all of them. In
    these rows the columns of damage are empty, and the other way round.

    Raises MeasurementError for an outcome or a kind of damage that is not known.
    """
    _check("outcome", set(trials["outcome"]), set(OUTCOMES))
    order = [damage + way for damage in DAMAGES for way in ("", BEST_EFFORT)]
    _check("damage", set(trials["damage"]), {NONE, *order})
    rows: list[tuple[Key, dict[str, Any]]] = []
    for key, part in _groups(trials):
        kinds = set(part["damage"]) | set(DAMAGES)
        rows += [(key, _row(key, part, damage)) for damage in order if damage in kinds]
    for name, frame in sorted((verifications or {}).items()):
        rows += [(key, _elsewhere(key, part, name)) for key, part in _groups(frame)]
    rows.sort(key=lambda item: (item[0][0], natural_key(item[0][2])))  # stable
    frame = pd.DataFrame([row for _, row in rows], columns=list(COLUMNS))
    return frame.astype(dict.fromkeys(_COUNTS, "Int64"))


def _groups(frame: pd.DataFrame) -> Iterable[tuple[Key, pd.DataFrame]]:
    names = ["dataset", "family", "codec"]
    return [(tuple(map(str, key)), part) for key, part in frame.groupby(names, sort=True)]


def _row(key: Key, part: pd.DataFrame, damage: str) -> dict[str, Any]:
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


def _elsewhere(key: Key, part: pd.DataFrame, name: str) -> dict[str, Any]:
    counts = part["outcome"].value_counts()
    return {
        "codec": key[2],
        "damage": ELSEWHERE + name,
        "trials": len(part),
        **{outcome: int(counts.get(outcome, 0)) for outcome in AGREEMENT},
        "max_difference": part["max_difference"].max(),
        "dataset": key[0],
        "family": key[1],
        "images": part["image"].nunique(),
    }


def _median(values: pd.Series) -> float:
    """The median, nan of nothing; of two middle ones the lower: halfway to inf is no place."""
    known = np.sort(numbers(values.dropna()))
    return float(known[(len(known) - 1) // 2]) if len(known) else float("nan")


def _check(what: str, found: set[str], known: set[str]) -> None:
    if wrong := sorted(found - known):
        raise MeasurementError(f"robustness trials: unknown {what} {wrong[0]!r}")
