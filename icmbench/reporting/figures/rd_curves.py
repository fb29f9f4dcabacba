"""Rate-distortion curves: one panel per metric, rate on a log axis, intervals shaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.axes import (
    foot,
    heading,
    log_axis,
    note_height,
    panel_grid,
    wrap_note,
)
from icmbench.reporting.figures.lossless import IDENTITY, lossless
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

_PANEL = (3.5, 3.15)
# A point that the curve passes by: there to be seen, not to be taken for the curve.
_BEATEN = {"size": 0.75, "alpha": 0.45}
Array = NDArray[np.float64]


def _points(rd: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The rows of a data set that a curve can show: everything but the lossless reference."""
    rows = rd[rd["dataset"] == dataset]
    rows = rows[~lossless(rows) & (rows["bpp"] > 0)]
    return rows.sort_values(["family", "bpp", "codec"], kind="stable")


def reduced_scale(codec: str) -> bool:
    """Whether a codec string codes the picture at another size (`scale` given and not 1)."""
    for key, _, value in (item.partition("=") for item in codec.partition(":")[2].split(",")):
        if key == "scale":
            return float(value) != 1.0
    return False


def _column(rows: pd.DataFrame, name: str) -> Array:
    if name not in rows:
        return np.full(len(rows), np.nan)
    return rows[name].to_numpy(dtype=np.float64)


def _value_limits(values: Array, lows: Array, highs: Array) -> tuple[float, float]:
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


def _draw_family(
    axes: Axes, rows: pd.DataFrame, metric: MetricInfo, style: FamilyStyle, family: str
) -> None:
    rate, value = _column(rows, "bpp"), _column(rows, metric.name)
    low, high = _column(rows, f"{metric.name}_lo"), _column(rows, f"{metric.name}_hi")
    best = pareto_optimal(rate, value, metric.higher_is_better)
    scaled = np.array([reduced_scale(codec) for codec in rows["codec"]], dtype=np.bool_)
    axes.plot(
        rate[best], value[best], color=style.colour, linestyle=style.dash, linewidth=style.width,
        zorder=3, label=family,
    )  # fmt: skip
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
    thin = style.marker in "*XP"
    size = 6.0 if thin else 4.4
    fills = ((~scaled, style.colour, style.colour if thin else "white"),
             (scaled, "white", style.colour))  # fmt: skip
    for filled, face, edge in fills:
        for ranked, shrink, alpha, order in (
            (~best, _BEATEN["size"], _BEATEN["alpha"], 2), (best, 1.0, 1.0, 4),
        ):  # fmt: skip
            mask = filled & ranked
            axes.plot(
                rate[mask], value[mask], linestyle="none", marker=style.marker,
                markersize=size * shrink, markerfacecolor=face, markeredgecolor=edge, alpha=alpha,
                zorder=order, markeredgewidth=0.4 if edge == "white" else 0.9,
            )  # fmt: skip


def _mark_outside(axes: Axes, rate: Array, value: Array, colours: Sequence[str]) -> int:
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
    axes.set_title(f"{metric.title}", loc="left", pad=15)
    axes.text(
        0, 1.025, better_arrow(metric), transform=axes.transAxes, fontsize=7.5, color=MUTED,
        va="bottom",
    )  # fmt: skip
    axes.set_xlabel("rate (bits per pixel, log scale)")
    axes.set_ylabel(metric_label(metric))
    log_axis(axes, "x", rows["bpp"])
    finite = rows[np.isfinite(_column(rows, metric.name)) & (_column(rows, "bpp") > 0)]
    if finite.empty:
        axes.text(0.5, 0.5, "no finite values", transform=axes.transAxes, ha="center", color=MUTED)
        axes.set_yticks([])
        return 0
    for family, part in finite.groupby("family", sort=True):
        _draw_family(axes, part, metric, styles[str(family)], str(family))
    values = _column(finite, metric.name)
    lows, highs = _column(finite, f"{metric.name}_lo"), _column(finite, f"{metric.name}_hi")
    axes.set_ylim(*_value_limits(values, lows, highs))
    colours = [styles[family].colour for family in finite["family"]]
    return _mark_outside(axes, _column(finite, "bpp"), values, colours)


def legend_columns(labels: Iterable[str], width: float) -> int:
    """Number of columns of a legend below panels that are `width` inches wide together."""
    texts = list(labels)
    longest = max((len(text) for text in texts), default=0)
    return max(1, min(len(texts), int(width / max(1.35, 0.75 + 0.062 * longest))))


def _legend(
    figure: Figure,
    styles: dict[str, FamilyStyle],
    top: float,
    columns: int,
    names: Mapping[str, str] | None = None,
) -> None:
    handles = [
        Line2D([], [], color=s.colour, linestyle=s.dash, linewidth=s.width, marker=s.marker,
               markersize=6 if s.marker in "*XP" else 4.4, label=(names or {}).get(name, name))
        for name, s in styles.items()
    ]  # fmt: skip
    figure.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, top), ncol=columns,
        handlelength=3.6, columnspacing=1.6,
    )  # fmt: skip


def rd_note(rd: pd.DataFrame, dataset: str) -> str:
    """What the curves leave out, in words: the images behind a point and the lossless rate."""
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
    across = 2 if len(metrics) == 4 else min(3, len(metrics))
    labels = [(names or {}).get(name, name) for name in shown]
    columns = legend_columns(labels, across * _PANEL[0])
    legend = 0.3 + 0.19 * -(-len(shown) // columns)
    with theme():
        # One line more than the note needs now: the count of outside points may join it.
        lines = wrap_note(rd_note(rd, dataset) + " " * 9 + "." * 45, across * _PANEL[0])
        below = legend + note_height(lines)
        figure, panels = panel_grid(len(metrics), *_PANEL, below=below)
        heading(figure, f"Rate\u2013distortion, {dataset}")
        outside = sum(
            _panel(axes, rows, metric, styles) for axes, metric in zip(panels, metrics, strict=True)
        )
        _legend(figure, shown, (below - 0.02) / figure.get_size_inches()[1], columns, names)
        note = rd_note(rd, dataset)
        if outside:
            note += f" Points beyond the axes (arrow heads): {outside}."
        foot(figure, wrap_note(note, across * _PANEL[0]))
    return figure
