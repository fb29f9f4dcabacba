"""Rate-distortion curves: one panel per metric, rate on a log axis, intervals shaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.axes import log_axis
from icmbench.reporting.figures.lossless import IDENTITY, lossless
from icmbench.reporting.figures.panels import family_handles, finish, grid, label_panel
from icmbench.reporting.figures.pareto import pareto_optimal
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.style import (
    MUTED,
    FamilyStyle,
    MetricInfo,
    better_arrow,
    family_styles,
    metric_label,
    theme,
)
from icmbench.reporting.statistics.bootstrap import MIN_IMAGES

PANEL = (3.5, 3.1)  # inches
# A point that the curve passes by: there to be seen, not to be taken for the curve.
_BEATEN = {"size": 0.75, "alpha": 0.45}
Array = NDArray[np.float64]


def _points(rd: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The rows of a data set that a curve can show: everything but the lossless reference."""
    rows = rd[rd["dataset"] == dataset]
    rows = rows[~lossless(rows) & (rows["bpp"] > 0)]
    return rows.sort_values(["family", "bpp", "codec"], kind="stable")


def reduced_scale(codec: str) -> bool:
    """Return True for a codec spec that codes at another size (`scale` given and not 1)."""
    for key, _, value in (item.partition("=") for item in codec.partition(":")[2].split(",")):
        if key == "scale":
            return float(value) != 1.0
    return False


def _column(rows: pd.DataFrame, name: str) -> Array:
    if name not in rows:
        return np.full(len(rows), np.nan)
    return rows[name].to_numpy(dtype=np.float64)


def value_limits(values: Array, lows: Array, highs: Array) -> tuple[float, float]:
    """Limits that show the points; a far outlier must not flatten the curves of everybody else.

    Outlying is beyond three interquartile ranges of the quartiles (Tukey's outer fence).
    """
    first, third = np.quantile(values, [0.25, 0.75])
    fence = 3 * (third - first) if third > first else np.inf
    inside = (values >= first - fence) & (values <= third + fence)
    shown = np.concatenate([values[inside], lows[inside], highs[inside]])
    shown = shown[np.isfinite(shown)]
    # Intervals may reach past the points, but only by half of the points' own span.
    span = float(np.ptp(values[inside])) or abs(float(values[inside][0])) * 0.1 or 1.0
    low = max(shown.min(), values[inside].min() - span / 2)
    high = min(shown.max(), values[inside].max() + span / 2)
    return float(low - 0.04 * span), float(high + 0.06 * span)


def draw_family(
    axes: Axes, rows: pd.DataFrame, metric: MetricInfo, style: FamilyStyle, family: str
) -> None:
    """Draw the points of a family, the line through the Pareto-optimal ones and the intervals."""
    rate, value = _column(rows, "bpp"), _column(rows, metric.name)
    low, high = _column(rows, f"{metric.name}_lo"), _column(rows, f"{metric.name}_hi")
    best = pareto_optimal(rate, value, metric.higher_is_better)
    scaled = np.array([reduced_scale(codec) for codec in rows["codec"]], dtype=np.bool_)
    axes.plot(rate[best], value[best], **style.line, zorder=3, label=family)
    if best.sum() > 1:
        axes.fill_between(
            rate[best], low[best], high[best], color=style.colour, alpha=0.13, linewidth=0, zorder=1
        )
    # A point outside the band has its interval as a line.
    loose = ~best if best.sum() > 1 else np.ones_like(best)
    axes.vlines(rate[loose], low[loose], high[loose], color=style.colour, alpha=0.45, linewidth=0.8)
    _draw_points(axes, rate, value, best, scaled, style)


def _draw_points(
    axes: Axes,
    rate: Array,
    value: Array,
    best: NDArray[np.bool_],
    scaled: NDArray[np.bool_],
    style: FamilyStyle,
) -> None:
    """Markers: hollow where `scaled`, small and faint where not `best`."""
    fills = ((~scaled, style.colour, style.colour if style.thin else "white"),
             (scaled, "white", style.colour))  # fmt: skip
    for filled, face, edge in fills:
        for ranked, shrink, alpha, order in (
            (~best, _BEATEN["size"], _BEATEN["alpha"], 2), (best, 1.0, 1.0, 4),
        ):  # fmt: skip
            mask = filled & ranked
            axes.plot(
                rate[mask], value[mask], linestyle="none", marker=style.marker,
                markersize=style.marks["markersize"] * shrink, markerfacecolor=face,
                markeredgecolor=edge, markeredgewidth=0.4 if edge == "white" else 0.9,
                alpha=alpha, zorder=order,
            )  # fmt: skip


def mark_outside(axes: Axes, rate: Array, value: Array, colours: Sequence[str]) -> int:
    """Put an arrow head at the edge for every point that the limits leave out."""
    low, high = axes.get_ylim()
    count = 0
    for x, y, colour in zip(rate, value, colours, strict=True):
        if low <= y <= high:
            continue
        count += 1
        axes.plot(
            [x], [low if y < low else high], marker=7 if y < low else 6, color=colour,
            markersize=5, clip_on=False, linestyle="none", zorder=6,
        )  # fmt: skip
    return count


def _panel(
    axes: Axes, rows: pd.DataFrame, metric: MetricInfo, styles: dict[str, FamilyStyle]
) -> int:
    """Draw one metric; returns how many points lie outside the axis."""
    label_panel(axes, metric.title, better_arrow(metric))
    axes.set_xlabel("rate (bits per pixel, log scale)")
    axes.set_ylabel(metric_label(metric))
    log_axis(axes, "x", rows["bpp"])
    finite = rows[np.isfinite(_column(rows, metric.name)) & (_column(rows, "bpp") > 0)]
    if finite.empty:
        axes.text(0.5, 0.5, "no finite values", transform=axes.transAxes, ha="center", color=MUTED)
        axes.set_yticks([])
        return 0
    for family, part in finite.groupby("family", sort=True):
        draw_family(axes, part, metric, styles[str(family)], str(family))
    values = _column(finite, metric.name)
    lows, highs = _column(finite, f"{metric.name}_lo"), _column(finite, f"{metric.name}_hi")
    axes.set_ylim(*value_limits(values, lows, highs))
    colours = [styles[family].colour for family in finite["family"]]
    return mark_outside(axes, _column(finite, "bpp"), values, colours)


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
) -> Figure:
    """Draw a panel per metric: quality against bits per pixel on a log axis.

    The line joins the Pareto-optimal points of a family; points that another of the family beats
    are small and faint, points coded at a reduced scale are hollow. Nothing is
    fitted or smoothed. Points beyond the quality axis are arrow heads at its edge and are counted
    in the note. A data set without any coded point gives a placeholder that says so.

    Args:
        rd: the table `rd`: `dataset, codec, family, images, failed, bpp, <metric>, <metric>_lo,
            <metric>_hi`. Families of all data sets decide the styles.
        metrics: what to draw, in order; each must be a column.
        names: legend texts by family, where they differ from its name.

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
    styles = family_styles(rd["family"])
    shown = {name: styles[name] for name in sorted(set(rows["family"]))}
    with theme():
        figure, panels = grid(len(metrics), *PANEL)
        outside = sum(
            _panel(axes, rows, metric, styles) for axes, metric in zip(panels, metrics, strict=True)
        )
        note = rd_note(rd, dataset) + outside_words(outside)
        finish(figure, f"Rate\u2013distortion, {dataset}", note, family_handles(shown, names))
    return figure


def outside_words(count: int) -> str:
    """The sentence of a note about the points that arrow heads stand for."""
    return f" Points beyond the axes (arrow heads): {count}." if count else ""
