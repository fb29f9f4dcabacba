"""ColorVideoVDP: its authors' package, an optional one (`pip install 'icmbench[cvvdp]'`)."""

from __future__ import annotations

import functools
from typing import Any

from icmbench.metrics.picture import Picture

DISPLAY = "standard_4k"


def cvvdp(original: Picture, reconstruction: Picture) -> float:
    """Mantiuk, Hanji, Ashraf, Asano, Chapiro, SIGGRAPH 2024: just-objectionable differences.

    10 for equal images, lower and without a bound for worse ones.
    """
    quality, _ = _metric().predict(reconstruction.pixels, original.pixels, dim_order="HWC")
    return float(quality)


@functools.cache
def _metric() -> Any:
    import pycvvdp
    import torch

    return pycvvdp.cvvdp(display_name=DISPLAY, device=torch.device("cpu"), quiet=True)
