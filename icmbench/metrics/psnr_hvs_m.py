"""PSNR-HVS-M: the NumPy version of the package psnr_hvsm."""

from __future__ import annotations

import contextlib
import functools
import io
import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from icmbench.metrics.picture import Picture

_BLOCK = 8


def psnr_hvs_m(original: Picture, reconstruction: Picture) -> float:
    """Ponomarenko et al., VPQM 2007: PSNR of 8 x 8 DCT coefficients that are visible, in dB.

    Of the full-range BT.601 luma, rounded to code values; pixels at the right and below that fill
    no block are not used. inf where no difference is visible.
    """
    with np.errstate(invalid="ignore", divide="ignore"):  # of flat blocks, which it then replaces
        _, error = _package()(_luma(original), _luma(reconstruction))
    return math.inf if error == 0 else -10.0 * math.log10(float(error))


def _luma(picture: Picture) -> np.ndarray:
    """float64 (height, width), 0 to 1, sides a multiple of 8."""

    def compute() -> np.ndarray:
        height, width = (side // _BLOCK * _BLOCK for side in picture.pixels.shape[:2])
        luma = picture.pixels[:height, :width] @ np.array([0.299, 0.587, 0.114])
        return np.asarray(np.floor(luma + 0.5) / 255)

    return picture.once("rounded luma", compute)


@functools.cache
def _package() -> Callable[..., Any]:
    # The package prints a line where its PyTorch version, which is not used, lacks a package.
    with contextlib.redirect_stdout(io.StringIO()):
        from psnr_hvsm.numpy import hvs_hvsm_mse as error
    return cast("Callable[..., Any]", error)
