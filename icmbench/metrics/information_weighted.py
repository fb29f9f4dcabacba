"""IW-SSIM: piq's SSIM weighted by information content, in float64: it inverts covariances."""

from __future__ import annotations

import math

import piq

from icmbench.metrics.picture import Picture


def iw_ssim(original: Picture, reconstruction: Picture) -> float:
    """Wang, Li, IEEE TIP 2011; five scales of a Laplacian pyramid of the luma.

    The weights come from the covariance of the original's neighbourhoods. That of a flat original
    has no inverse: nan, unless the images are equal.
    """
    if (original.pixels == reconstruction.pixels).all():
        return 1.0
    if original.flat:
        return math.nan
    # piq takes the covariance of its second image, the authors that of the original.
    ours, theirs = original.tensor.double(), reconstruction.tensor.double()
    return float(piq.information_weighted_ssim(theirs, ours, data_range=255))
