"""Figures made from the tables and from nothing else; each is saved as SVG, PDF and PNG."""

from __future__ import annotations

from icmbench.reporting.figures.bd_heatmap import bd_heatmap
from icmbench.reporting.figures.contact import contact_sheet
from icmbench.reporting.figures.matching import (
    Box,
    choose_crops,
    matched_rate,
    unmatched_families,
)
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.rate_time import rate_time
from icmbench.reporting.figures.rd_curves import rd_curves, rd_note
from icmbench.reporting.figures.style import MetricInfo, family_styles, save
from icmbench.reporting.figures.visual import Entry, visual_comparison

__all__ = [
    "Box",
    "Entry",
    "MetricInfo",
    "bd_heatmap",
    "choose_crops",
    "contact_sheet",
    "family_styles",
    "matched_rate",
    "placeholder",
    "rate_time",
    "rd_curves",
    "rd_note",
    "save",
    "unmatched_families",
    "visual_comparison",
]
