"""HaarPSI, GMSD and FSIM: a maintained package, with every parameter written out."""

from __future__ import annotations

import math

import piq

from icmbench.metrics.picture import Picture


def haarpsi(original: Picture, reconstruction: Picture) -> float:
    """Reisenhofer, Bosse, Kutyniok, Wiegand, Signal Processing: Image Communication 2018, (12).

    Two black images have no wavelet coefficient to weigh by, for which piq gives inf: here 1.
    """
    if not original.pixels.any() and not reconstruction.pixels.any():
        return 1.0
    return float(
        piq.haarpsi(
            original.tensor,
            reconstruction.tensor,
            data_range=255,
            scales=3,
            subsample=True,
            c=30.0,
            alpha=4.2,
        )
    )


def gmsd(original: Picture, reconstruction: Picture) -> float:
    """Xue, Zhang, Mou, Bovik, IEEE TIP 2014: standard deviation of the gradient similarity map."""
    return float(piq.gmsd(original.tensor, reconstruction.tensor, data_range=255, t=170 / 255.0**2))


def fsim(original: Picture, reconstruction: Picture) -> float:
    """FSIMc: Zhang, Zhang, Mou, Zhang, IEEE TIP 2011, (9): a mean weighted by phase congruency.

    Two flat images have no phase congruency, so all weights are 0: 1 for equal images, else nan.
    """
    if original.flat and reconstruction.flat:
        equal = (original.pixels == reconstruction.pixels).all()
        return 1.0 if equal else math.nan
    return float(piq.fsim(original.tensor, reconstruction.tensor, data_range=255, chromatic=True))
