"""VIFp: piq's visual information fidelity in the pixel domain."""

from __future__ import annotations

import math

import piq

from icmbench.metrics.picture import Picture


def vifp(original: Picture, reconstruction: Picture) -> float:
    """Sheikh, Bovik, IEEE TIP 2006; the authors' approximation in the pixel domain, of the luma.

    1 for equal images, above 1 for more contrast than the original's. A flat original holds no
    information that could be kept: nan, unless the images are equal.
    """
    if (original.pixels == reconstruction.pixels).all():
        return 1.0
    if original.flat:
        return math.nan
    return float(piq.vif_p(reconstruction.tensor, original.tensor, data_range=255))
