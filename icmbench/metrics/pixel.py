"""PSNR, in exact integer arithmetic up to the logarithm."""

from __future__ import annotations

import math

import numpy as np

from icmbench.metrics.picture import Picture

# BT.601 luma in thousandths: Y = 0.299 R + 0.587 G + 0.114 B, the full-range Y of JPEG (JFIF).
_LUMA_THOUSANDTHS = np.array([299, 587, 114], dtype=np.int32)


def psnr_rgb(original: Picture, reconstruction: Picture) -> float:
    """10 log10(255² / MSE) in dB, MSE over all pixels and the three channels; inf if equal."""
    difference = original.pixels.astype(np.int16) - reconstruction.pixels
    return _psnr(_sum_of_squares(difference), difference.size, peak=255)


def psnr_y(original: Picture, reconstruction: Picture) -> float:
    """10 log10(255² / MSE) in dB of the unrounded BT.601 full-range luma; inf if it is equal."""
    difference = _luma(original) - _luma(reconstruction)
    return _psnr(_sum_of_squares(difference), difference.size, peak=255_000)


def _luma(picture: Picture) -> np.ndarray:
    """int32 (height, width), 0 to 255 000."""
    return picture.once("luma", lambda: picture.pixels.astype(np.int32) @ _LUMA_THOUSANDTHS)


def _sum_of_squares(difference: np.ndarray) -> int:
    rows = difference.reshape(len(difference), -1)
    # Python integers add up the rows: 64 bits could overflow above 140 megapixels.
    return sum(np.einsum("ij,ij->i", rows, rows, dtype=np.int64).tolist())


def _psnr(sum_of_squares: int, count: int, peak: int) -> float:
    if sum_of_squares == 0:
        return math.inf
    return 10.0 * math.log10(peak * peak * count / sum_of_squares)
