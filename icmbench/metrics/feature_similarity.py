"""FSIM: piq's, which takes seconds to load, with every parameter written out."""

from __future__ import annotations

import math

import piq

from icmbench.metrics.picture import Picture


def fsim(original: Picture, reconstruction: Picture) -> float:
    """FSIMc: Zhang, Zhang, Mou, Zhang, IEEE TIP 2011, (9): a mean weighted by phase congruency.

    Two flat images have no phase congruency, so all weights are 0: 1 for equal images, else nan.
    """
    if original.flat and reconstruction.flat:
        equal = (original.pixels == reconstruction.pixels).all()
        return 1.0 if equal else math.nan
    return float(piq.fsim(original.tensor, reconstruction.tensor, data_range=255, chromatic=True))
