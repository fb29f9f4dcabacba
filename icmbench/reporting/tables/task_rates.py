"""Rates at which a task reaches a share of its ceiling: the table of bits that a machine needs.

The accuracy of a task on reconstructions is a curve over the rate; the ceiling is its score on the
originals. The rate at which a curve reaches 90 % of the ceiling is the number that a codec is
chosen by. As for BD-rates, the Pareto-optimal points of a codec entry are joined by PCHIP, log-rate
as a function of accuracy; nothing is extrapolated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

from icmbench.reporting.statistics.bootstrap import Floats
from icmbench.reporting.statistics.calibration import calibrated
from icmbench.reporting.statistics.curves import Curves, log_rate_at
from icmbench.reporting.tables.task_comparisons import Sampled, curves_of
from icmbench.tasks.metrics.score import Score

COLUMNS: Final = (
    "dataset", "task", "model", "metric", "share", "ceiling", "level", "family", "bpp", "lo", "hi",
    "images", "note",
)  # fmt: skip
_TYPES: Final = {
    **dict.fromkeys(("share", "ceiling", "level", "bpp", "lo", "hi"), "float64"),
    "images": "int64",
}


def needed_rates(of: Sampled, ceilings: Mapping[str, Floats]) -> pd.DataFrame:
    """Rate of every codec entry at every share of the ceiling, of the metrics of a task.

    Args:
        ceilings: metric -> score on the originals, (1 + resamples + groups,): as the samples of a
            point. The level moves with the ceiling of a draw.

    Columns are `COLUMNS`: `level` is the score to reach (see `level_of`), `bpp` the rate there,
    `lo` and `hi` the 95 % interval over draws of images (see `calibrated`), of the logarithm; a
    share above 10 % of draws that do not reach the level leaves the interval open, and the note
    says so. Codec entries of one point have no rows.
    """
    rows: list[dict[str, object]] = []
    for metric, score in of.metrics.items():
        sign = 1.0 if score.higher_is_better else -1.0
        ceiling = ceilings.get(metric)
        if ceiling is None or not np.isfinite(ceiling[0]):
            continue
        curves, whole = curves_of(of.samples, metric, sign)
        points = {f: sum(p.family == f for p in of.samples) for f in curves}
        for share in of.settings.shares:
            levels = level_of(score, ceiling, share)
            if whole is not None:
                levels = np.where(whole, levels, levels[0])
            if np.isnan(levels[0]):
                continue
            base: dict[str, object] = {
                "dataset": of.dataset, "task": of.task.name, "model": of.task.model,
                "metric": metric, "share": share, "ceiling": float(ceiling[0]),
                "level": float(levels[0]), "images": of.images,
            }  # fmt: skip
            rows += [
                {**base, "family": family, **_entry(curve, sign * levels, of.settings.resamples)}
                for family, curve in curves.items()
                if points[family] > 1
            ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(_TYPES)


def level_of(score: Score, ceiling: Floats, share: float) -> Floats:
    """The score that is a share of the ceiling, like `ceiling`.

    Of a score that is better when higher, that share of it. Of an error, that share of the way from
    its value where nothing is found (`Score.nothing`; of a rate of errors 1) to the ceiling, since
    1 - error is an accuracy. Of an error without such a value, as NME, the ceiling's error divided
    by the share; nan where that is 0, as of a distance to the originals themselves.
    """
    if score.higher_is_better:
        return ceiling * share
    nothing = score.most if score.nothing is None else score.nothing
    if np.isfinite(nothing):
        return nothing - share * (nothing - ceiling)
    return np.where(ceiling > 0, ceiling / share, np.nan)


def _entry(curve: Curves, wanted: Floats, resamples: int) -> dict[str, object]:
    """Columns from `bpp` on; absent keys are empty columns."""
    rates = log_rate_at(curve, wanted)
    if np.isnan(rates[0]):
        first = curve.quality[0, 0] >= wanted[0]
        end = 10 ** curve.log_rate[0, 0 if first else curve.points[0] - 1]
        words = "reached at the lowest rate already" if first else "not reached at the best point"
        return {"note": f"{words}, {end:.4g} bpp"}
    number = 1 + resamples
    low, high, note = calibrated(float(rates[0]), rates[1:number], rates[number:])
    notes = [note]
    if np.isnan(low):
        missed = float(np.isnan(rates[1:number]).mean())
        notes.append(f"{100 * missed:.0f} % of the draws do not reach it within the curve")
    return {
        "bpp": 10 ** rates[0],
        "lo": 10**low,
        "hi": 10**high,
        "note": "; ".join(filter(None, notes)),
    }
