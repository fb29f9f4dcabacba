"""Rate at given qualities, read off the curve through a codec's operating points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from icmbench.reporting.statistics.bootstrap import Floats
from icmbench.reporting.statistics.comparison import Grid
from icmbench.reporting.statistics.curves import pareto


def log_rates_at(
    common: Grid, family: str, metric: str, higher_is_better: bool, levels: Sequence[float]
) -> Floats:
    """log10 of the rate on every image at every level of a metric, (levels, images).

    The Pareto-optimal points of an image are joined by PCHIP, log-rate as a function of quality,
    as for BD-rates. nan beyond a curve's ends, and where it has fewer than two points.
    """
    found = np.full((len(levels), len(common.images)), np.nan)
    rows = common.families().get(family, [])
    # Excluded points are nan, lossless ones infinite: neither belongs to a curve.
    rows = [row for row in rows if np.isfinite(common.values[metric][row]).all()]
    if not rows or not common.images:
        return found
    sign = 1.0 if higher_is_better else -1.0
    curves = pareto(common.values["bpp"][rows].T, sign * common.values[metric][rows].T)
    wanted = sign * np.array(levels, dtype=np.float64)
    for image, (rate, quality, points) in enumerate(zip(*curves, strict=True)):
        found[:, image] = _read(rate[:points], quality[:points], wanted)
    return found


def _read(rate: Floats, quality: Floats, wanted: Floats) -> Floats:
    # Imported on first use, as few jobs need SciPy.
    from scipy.interpolate import PchipInterpolator

    values = np.full(wanted.shape, np.nan)
    reached = (wanted >= quality[0]) & (wanted <= quality[-1])
    if len(rate) >= 2 and reached.any():
        values[reached] = PchipInterpolator(quality, np.log10(rate))(wanted[reached])
    return values
