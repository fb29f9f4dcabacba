"""Image quality against an original: what each number means and how to get it.

    names, reasons = available(weights=Path("weights/metrics"))
    meter = Meter(names)  # icmbench.metrics.meter: loads torch, which this package alone does not
    values = meter(original, reconstruction)  # {"psnr_rgb": 31.4, ...}

All metrics take 8-bit sRGB images, cropped to the original's size. `METRICS` lists them in the
order of the tables; `Metric.settings` says exactly what each computes.
"""

from __future__ import annotations

from icmbench.metrics.availability import available
from icmbench.metrics.registry import METRICS, Metric

__all__ = ["METRICS", "Metric", "available"]
