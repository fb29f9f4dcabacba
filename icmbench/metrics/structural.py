"""SSIM and MS-SSIM: a maintained package, with every parameter written out."""

from __future__ import annotations

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
