"""FID and KID against rate, for one data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from icmbench.metrics.registry import Metric
from icmbench.reporting.figures.lossless import lossless
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.rate_panels import rate_figure
from icmbench.reporting.figures.style import family_styles

DISTANCES: Final = (
    Metric("fid", "FID", "", False, 256, "", module="distribution"),
    Metric("kid", "KID", "", False, 256, "", module="distribution"),
)


def fid_figure(
    distribution: pd.DataFrame,
    dataset: str,
    families: Iterable[str],
    names: Mapping[str, str] | None = None,
) -> Figure:
    """Draw a panel of FID and one of KID against bits per pixel; lower is better in both.

    Where no codec spec has a value, the figure is a placeholder with the reason.

    Args:
        distribution: the table `distribution`.
        families: all codec entries of the run: they decide the styles.
        names: codec entry -> legend text, where it differs from the name.
    """
    title = f"FID and KID, {dataset}"
    rows = distribution[distribution["dataset"] == dataset]
    coded = rows[~lossless(rows) & (rows["bpp"] > 0) & np.isfinite(rows["fid"].to_numpy(float))]
    if coded.empty:
        return placeholder(
            title, "; ".join(sorted(set(rows["status"]) - {"ok"})) or "no lossy codec."
        )
    counts = [int(coded[name].iloc[0]) for name in ("patches", "images")]
    note = (
        f"{counts[0]} patches of 256 x 256 pixels from {counts[1]} images, the same for every "
        "codec, against those of the originals; no intervals. Hollow: coded at reduced scale. "
        "Small and faint: not Pareto-optimal."
    )
    coded = coded.sort_values(["family", "bpp", "codec"], kind="stable")
    styles = family_styles(families)
    return rate_figure(coded, DISTANCES, styles, title=title, note=note, names=names)
