"""The ablation table: change of metrics at equal rate without one ingredient."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from icmbench.core.errors import MeasurementError
from icmbench.reporting.statistics.bootstrap import Floats, Indices, mean, resample_indices
from icmbench.reporting.statistics.comparison import MAX_FAILED, Grid, compare, grids, restrict
from icmbench.reporting.statistics.equal_rate import change_interval, values_at_rates

COLUMNS = (
    "dataset", "without", "family", "metric", "bpp", "full", "value", "change", "lo", "hi",
    "images", "left_out", "note",
)  # fmt: skip
_TYPES = dict.fromkeys(("bpp", "full", "value", "change", "lo", "hi"), "float64") | {
    "images": "int64",
    "left_out": "int64",
}


def ablation_table(
    measurements: pd.DataFrame,
    metrics: Mapping[str, bool],
    full: str,
    without: Mapping[str, str],
    rates: Sequence[float],
    *,
    resamples: int,
    seed: int,
    max_failed: float = MAX_FAILED,
) -> pd.DataFrame:
    """Compare a codec entry with its variants, image by image at equal rates, for every metric.

    The values are interpolated between operating points: no file was coded at exactly these rates.
    The measured points are in the RD table.

    Args:
        metrics: column of `measurements` -> True where higher is better.
        full: the codec entry with all ingredients.
        without: ingredient -> codec entry of the variant without it.
        rates: bits per pixel.

    Columns are `COLUMNS`; rows are sorted by dataset, then in the order of `without` and `metrics`,
    then by rate, whatever the order of `measurements`. As in the BD-rate table, a metric that is
    undefined on all images of a data set has no rows; all others have rows, with the reason of a
    missing or weak value or interval in `note`.

    On each image the Pareto-optimal points of a codec entry are joined by PCHIP, the metric as a
    function of log rate, and read off at `bpp`; nothing is extrapolated. `images` counts the
    images on which both curves reach the rate, `left_out` the remaining ones of the comparison set
    (`comparison_set`). `full` and `value` are the means of `full` and of the variant over the
    former images, `change` is `value` minus `full`; the metric's direction decides if that is
    better. `lo` and `hi` are its 95 % percentile interval over draws of images, the same for both
    codec entries and for all variants of a data set; they are empty with fewer than 3 images or if
    fewer than 90 % of the draws give a value.

    Raises `MeasurementError` if a rate is not positive or there twice, if a variant is `full`, is
    there twice or was measured nowhere, and as `grids` and `resample_indices` do.
    """
    _check(full, without, rates)
    found = grids(measurements, metrics)
    measured = {family for grid in found for family in grid.families()}
    if missing := sorted({full, *without.values()} - measured):
        raise MeasurementError(f"ablation: no measurement of codec entries {', '.join(missing)}")
    rows: list[dict[str, object]] = []
    for grid in found:
        chosen = compare(grid, max_failed, metrics)
        draws = resample_indices(len(chosen.images), resamples, seed=seed, dataset=grid.dataset)
        rows += _dataset_rows(restrict(grid, chosen), metrics, full, without, sorted(rates), draws)
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(_TYPES)


def _check(full: str, without: Mapping[str, str], rates: Sequence[float]) -> None:
    wrong = [rate for rate in rates if not 0 < rate < np.inf]
    if wrong or not rates or len(set(rates)) < len(rates):
        raise MeasurementError(f"ablation: rates are positive and distinct, not {list(rates)}")
    if not without:
        raise MeasurementError("ablation: nothing is left out")
    families = list(without.values())
    if full in families or len(set(families)) < len(families):
        raise MeasurementError(
            f"ablation: variants of {full} are other codec entries, each named once, not {families}"
        )


def _dataset_rows(
    common: Grid,
    metrics: Mapping[str, bool],
    full: str,
    without: Mapping[str, str],
    rates: list[float],
    draws: Indices,
) -> list[dict[str, object]]:
    # A metric without any value has no rows, unless that is so because no image is compared.
    shown = [m for m in metrics if not (common.images and np.isnan(common.values[m]).all())]
    values = {
        (family, metric): values_at_rates(common, family, metric, metrics[metric], rates)
        for family in (full, *without.values())
        for metric in shown
    }
    rows: list[dict[str, object]] = []
    for title, family in without.items():
        names = (full, family)
        for metric in shown:
            for number, rate in enumerate(rates):
                pair = (values[full, metric][number], values[family, metric][number])
                key = {
                    "dataset": common.dataset,
                    "without": title,
                    "family": family,
                    "metric": metric,
                    "bpp": rate,
                }
                entry = _entry(*pair, draws)
                if not entry["images"]:
                    entry["note"] = _why_empty(names, pair, common.families())
                rows.append(key | entry)
    return rows


def _entry(full: Floats, variant: Floats, draws: Indices) -> dict[str, object]:
    """Columns of one row from `full` on; absent keys are empty columns."""
    change = variant - full
    both = ~np.isnan(change)
    images, compared = int(both.sum()), len(change)
    entry: dict[str, object] = {
        "full": mean(np.where(both, full, np.nan)),
        "value": mean(np.where(both, variant, np.nan)),
        "change": mean(change),
        "images": images,
        "left_out": compared - images,
    }
    if images == 0:
        return entry
    notes = []
    if 2 * images < compared:
        notes.append(f"only {images} of {compared} images reach this rate")
    low, high, note = change_interval(change, draws)
    notes += [note] if note else []
    return entry | {"lo": low, "hi": high, "note": "; ".join(notes)}


def _why_empty(names: tuple[str, str], pair: tuple[Floats, Floats], measured: Iterable[str]) -> str:
    if not len(pair[0]):
        return "no image is compared"
    if absent := [name for name in names if name not in measured]:
        return f"not measured on this data set: {', '.join(absent)}"
    both = zip(names, pair, strict=True)
    short = [name for name, values in both if np.isnan(values).all()]
    return f"no image on which {' and '.join(short or names)} can be read off at this rate"
