"""SSIM, MS-SSIM, HaarPSI and GMSD: maintained packages, with every parameter written out."""

from __future__ import annotations

import piq
import pytorch_msssim

from icmbench.metrics.picture import Picture


def ssim(original: Picture, reconstruction: Picture) -> float:
    """Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 2004; mean over the R, G and B maps.

    11 x 11 Gaussian window, sigma 1.5, only where it lies fully inside the image, K = (0.01, 0.03).
    """
    return float(
        pytorch_msssim.ssim(
            original.channels_last,
            reconstruction.channels_last,
            data_range=255,
            win_size=11,
            win_sigma=1.5,
            K=(0.01, 0.03),
        )
    )


def ms_ssim(original: Picture, reconstruction: Picture) -> float:
    """Wang, Simoncelli, Bovik, Asilomar 2003; mean over R, G and B of the five-scale products.

    Negative contrast-structure means are set to 0. Between scales the image is averaged over
    2 x 2 pixels; an odd side is padded with a row of zeros at both ends, which is the package's
    convention.
    """
    return float(
        pytorch_msssim.ms_ssim(
            original.channels_last,
            reconstruction.channels_last,
            data_range=255,
            win_size=11,
            win_sigma=1.5,
            weights=[0.0448, 0.2856, 0.3001, 0.2363, 0.1333],
            K=(0.01, 0.03),
        )
    )


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
    """FSIMc: Zhang, Zhang, Mou, Zhang, IEEE TIP 2011. Two featureless images are alike: 1."""
    if original.flat and reconstruction.flat:
        return 1.0
    return float(piq.fsim(original.tensor, reconstruction.tensor, data_range=255, chromatic=True))
