"""Rate-distortion curves: one panel per metric, rate on a log axis, intervals shaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.lossless import IDENTITY, lossless
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.published_curves import looks_of, published_of
from icmbench.reporting.figures.rate_panels import rate_figure
from icmbench.reporting.figures.style import MetricInfo, family_styles
from icmbench.reporting.statistics.bootstrap import MIN_IMAGES


def _points(rd: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The rows of a data set that a curve can show: everything but the lossless reference."""
    rows = rd[rd["dataset"] == dataset]
    rows = rows[~lossless(rows) & (rows["bpp"] > 0)]
    return rows.sort_values(["family", "bpp", "codec"], kind="stable")


def rd_note(rd: pd.DataFrame, dataset: str) -> str:
    """Note: number of images behind a point, failures, and the rate of the lossless reference."""
    rows = rd[rd["dataset"] == dataset]
    coded = _points(rd, dataset)
    counts = sorted({int(count) for count in coded["images"]}) or [0]
    images = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    band = "shaded or thin lines: 95\u00a0% bootstrap interval"
    if counts[-1] < MIN_IMAGES:
        band = f"no intervals below {MIN_IMAGES} images"
    text = (
        f"Means over {images} image{'' if counts == [1] else 's'}; {band}. Hollow: coded at "
        "reduced scale. Small and faint: not Pareto-optimal, another point of the codec has more "
        "quality at no more bits."
    )
    failed = int(rows["failed"].sum()) if "failed" in rows else 0
    if failed:
        text += f" {failed} coding{'s' if failed > 1 else ''} failed, see the table."
    exact = rows[lossless(rows) & np.isfinite(rows["bpp"].to_numpy(float))]
    for family, codec, rate in zip(exact["family"], exact["codec"], exact["bpp"], strict=True):
        what = "Lossless PNG" if codec == IDENTITY else "Lossless"
        text += f" {what} ({family}): {rate:.2f} bpp, not drawn."
    return text


def rd_curves(
    rd: pd.DataFrame,
    dataset: str,
    metrics: Sequence[MetricInfo],
    names: Mapping[str, str] | None = None,
    published: pd.DataFrame | None = None,
) -> Figure:
    """Draw a panel per metric: quality against bits per pixel on a log axis.

    The line joins the Pareto-optimal points of a codec entry; dominated points are small and faint,
    points coded at a reduced scale are hollow. Nothing is fitted or smoothed. Points beyond the
    quality axis are arrow heads at its edge and are counted in the note. For a data set without
    coded points the figure is a placeholder.

    Args:
        rd: the table `rd`: `dataset, codec, family, images, failed, bpp, <metric>, <metric>_lo,
            <metric>_hi`. Its codec entries decide the styles.
        metrics: what to draw, in order; each must be a column.
        names: codec entry -> legend text, where it differs from the name.
        published: the table `published`, which is drawn hollow and dashed.

    Raises:
        MeasurementError: a metric is not in the table.
    """
    rows = _points(rd, dataset)
    absent = [metric.name for metric in metrics if metric.name not in rd]
    if absent or not metrics:
        raise MeasurementError(
            f"no such metric in the table: {', '.join(absent) or '(none given)'}"
        )
    if rows.empty:
        return placeholder(
            f"Rate\u2013distortion, {dataset}",
            "no lossy codec has a point: its images were refused or the codecs failed on too many "
            "of them; see the failures.",
        )
    styles, note = family_styles(rd["family"]), rd_note(rd, dataset)
    title = f"Rate\u2013distortion, {dataset}"
    return rate_figure(
        rows, metrics, styles, title=title, note=note, names=names,
        published=published_of(published, dataset), looks=looks_of(published),
    )  # fmt: skip
