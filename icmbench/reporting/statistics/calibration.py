"""Intervals of statistics that are no means of images: mAP, mIoU, failure rates, BD-rates.

Such a statistic is biased in small samples, and its bootstrap draws are biased once more: a draw
holds some images twice, which makes a rare category easier, and lacks others. The percentile
interval then lies off the value (of COCO's mAP, a quarter of the draws lie below it), on the wrong
side of it, and is too narrow. BCa corrects location, not width, and location by halves.

Here the bootstrap gives the shape and the bias: the draws are moved so that their mean lies as far
below the value as it lay above. Their width comes from the grouped jackknife, which repeats no
image (Shao and Tu, *The Jackknife and Bootstrap*, 1995, chapter 2): they are stretched to its
standard error times the t quantile. `tests/coverage_simulation.py` is the simulation that this was
chosen by; `tests/test_coverage.py` holds its numbers.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from icmbench.core.files import seed_from
from icmbench.reporting.statistics.bootstrap import Floats, interval

GROUPS: Final = 50
_NORMAL: Final = 1.959963984540054  # the 97.5 % quantile
# Below this share of the value, the spread of draws is rounding.
_NOISE: Final = 1e-9
PLAIN: Final = "percentile interval: the jackknife has no value"


def jackknife_groups(images: int, *, seed: int, dataset: str) -> NDArray[np.int64]:
    """The group (0 … min(50, images) - 1) of every image, (images,).

    Sizes differ by one at most. Images are dealt at random, since neighbours in the order of names
    (frames of a film) are alike. The deal depends on `seed`, `dataset` and the number alone.
    """
    generator = np.random.Generator(np.random.PCG64(seed_from("jackknife", seed, dataset)))
    groups = np.empty(images, np.int64)
    groups[generator.permutation(images)] = np.arange(images) % max(1, min(GROUPS, images))
    return groups


def jackknife_weights(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Weights of the images with one group left out each, (groups, images): 0 or 1."""
    number = int(groups.max(initial=-1)) + 1
    return np.asarray(np.arange(number)[:, np.newaxis] != groups, np.int64)


def calibrated(
    value: float, draws: Floats, deleted: Floats, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[float, float, str]:
    """95 % interval of a statistic: low, high, and a note where it is another kind of interval.

    Undefined draws are left out; where fewer than 90 % are defined there is no interval (nan, nan).

    Args:
        value: the statistic on all images.
        draws: (resamples,) on the bootstrap draws; nan where undefined.
        deleted: (groups,) on the images without one group.
        bounds: the statistic's range, to which the interval is cut; it always holds the value.

    The percentile interval, with a note, where some value of the jackknife is undefined.
    """
    low, high = interval(draws)
    if np.isnan(low) or np.isnan(high):
        return low, high, ""
    number = len(deleted)
    if number < 2 or not np.isfinite([value, *deleted]).all():
        return low, high, PLAIN
    defined = draws[~np.isnan(draws)]
    error = float(np.sqrt((number - 1) / number * ((deleted - deleted.mean()) ** 2).sum()))
    spread = float(defined.std(ddof=1))
    if min(error, spread) <= _NOISE * max(abs(value), _NOISE):
        return low, high, ""
    # Imported on first use, as few jobs need SciPy.
    from scipy.special import stdtrit

    stretch = error / spread * float(stdtrit(number - 1, 0.975)) / _NORMAL
    mean = float(defined.mean())
    centre = 2 * value - mean
    ends = (centre + stretch * (low - mean), centre + stretch * (high - mean))
    # Both ends: a bias larger than the width moves the whole interval past the value, and can move
    # it over an end of the range.
    low, high = (min(max(end, bounds[0]), bounds[1]) for end in ends)
    return min(low, value), max(high, value), ""
