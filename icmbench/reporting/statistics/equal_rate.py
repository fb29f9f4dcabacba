"""Quality at given rates, read off the curve through a codec's operating points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from icmbench.reporting.statistics.bootstrap import (
    MIN_IMAGES,
    Floats,
    Indices,
    interval,
    resampled_means,
)
from icmbench.reporting.statistics.comparison import Grid
from icmbench.reporting.statistics.curves import pareto


def values_at_rates(
    common: Grid, family: str, metric: str, higher_is_better: bool, rates: Sequence[float]
) -> Floats:
    """The metric on every image at every rate, (rates, images); nan where the curve ends before."""
    found = np.full((len(rates), len(common.images)), np.nan)
    rows = common.families().get(family, [])
    # Excluded points are nan, lossless ones infinite: neither belongs to a curve.
    rows = [row for row in rows if np.isfinite(common.values[metric][row]).all()]
    if not rows or not common.images:
        return found
    sign = 1.0 if higher_is_better else -1.0
    quality = sign * common.values[metric][rows].T
    return sign * read_off(common.values["bpp"][rows].T, quality, rates)


def read_off(rate: Floats, quality: Floats, rates: Sequence[float]) -> Floats:
    """The quality of every curve at every rate, (rates, curves); nan beyond a curve's ends.

    The Pareto-optimal points are joined by PCHIP (Fritsch and Butland 1984; `curves` says why),
    quality as a function of the logarithm of the rate. One point is no curve.

    Args:
        rate: (curves, points) in bits per pixel, finite, above zero.
        quality: (curves, points), finite, higher is better.
        rates: in bits per pixel.
    """
    wanted = np.array(rates, dtype=np.float64)
    found = np.full((len(wanted), len(rate)), np.nan)
    rate, quality, points = pareto(rate, quality)
    for curve, count in enumerate(points):
        found[:, curve] = _interpolated(rate[curve, :count], quality[curve, :count], wanted)
    return found


def _interpolated(rate: Floats, quality: Floats, wanted: Floats) -> Floats:
    # Imported on first use, as few jobs need SciPy.
    from scipy.interpolate import PchipInterpolator

    values = np.full(wanted.shape, np.nan)
    reached: NDArray[np.bool_] = (wanted >= rate[0]) & (wanted <= rate[-1])
    if len(rate) >= 2 and reached.any():
        at = np.log10(rate)
        # Clipped: the logarithms of equal rates must not differ by a rounding.
        inside = np.clip(np.log10(wanted[reached]), at[0], at[-1])
        values[reached] = PchipInterpolator(at, quality)(inside)
    return values


def change_interval(change: Floats, draws: Indices) -> tuple[float, float, str]:
    """95 % interval of the mean change between two codecs, and a note on it.

    Args:
        change: (images,), nan where a curve does not reach the rate. Such images stay in the
            draws, which would otherwise differ from pair to pair.
        draws: (resamples, images).

    Returns:
        Low, high (nan, nan where there is no interval), and a note, empty where none is needed.
    """
    if int((~np.isnan(change)).sum()) < MIN_IMAGES:
        return np.nan, np.nan, f"fewer than {MIN_IMAGES} images"
    samples = resampled_means(change, draws)
    low, high = interval(samples)
    return low, high, failed_note(samples, low)


def failed_note(samples: Floats, low: float) -> str:
    """The number of draws without a value, as a note; `low` is nan where no interval is left."""
    failed = int(np.isnan(samples).sum())
    kind = "no interval" if np.isnan(low) else "interval is incomplete"
    return f"{kind}: {failed} of {samples.size} resamples give no value" if failed else ""
