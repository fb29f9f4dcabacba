"""Panels of a metric against rate, with Pareto-optimal lines, intervals and a ceiling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from icmbench.reporting.figures.axes import log_axis
from icmbench.reporting.figures.panels import family_handles, finish, grid, label_panel
from icmbench.reporting.figures.published_curves import (
    draw_published,
    inside,
    published_handles,
    published_note,
    with_published,
)
from icmbench.reporting.figures.style import (
    FOREIGN,
    INK,
    MUTED,
    FamilyStyle,
    MetricInfo,
    better_arrow,
    mark_foreign,
    metric_label,
    theme,
)
from icmbench.reporting.statistics.curves import sweep

PANEL = (3.5, 3.1)  # inches
# A point that the curve passes by: there to be seen, not to be taken for the curve.
_BEATEN = {"size": 0.75, "alpha": 0.45}
CEILING_DASH: Final = (0, (1.0, 1.6))
_ROOM = 0.09  # of an axis, for a label
Array = NDArray[np.float64]


def rate_figure(
    rows: pd.DataFrame,
    metrics: Sequence[MetricInfo],
    styles: Mapping[str, FamilyStyle],
    *,
    title: str,
    note: str,
    names: Mapping[str, str] | None = None,
    ceilings: Mapping[str, float] | None = None,
    published: pd.DataFrame | None = None,
    looks: Mapping[str, FamilyStyle] | None = None,
) -> Figure:
    """Draw a panel per metric; the note counts the points beyond the axes.

    Args:
        rows: `codec, family, bpp`, and `<metric>`, `<metric>_lo`, `<metric>_hi` of every metric.
        names: codec entry -> legend text, where it differs from the name.
        ceilings: by metric, the value on the originals, which a dotted line shows.
        published: `codec, metric, bpp, value, bits, how_read` of published points.
        looks: styles of their codecs.
    """
    styles = mark_foreign(styles, names)
    shown = {name: styles[name] for name in sorted(set(rows["family"]))}
    known = ceilings or {}
    others = published if published is not None and len(published) else None
    dashed = looks or {}
    with theme():
        figure, panels = grid(len(metrics), *PANEL)
        outside = sum(
            _panel(axes, rows, metric, styles, known.get(metric.name, np.nan), others, dashed)
            for axes, metric in zip(panels, metrics, strict=True)
        )
        note += f" Points beyond the axes (arrow heads): {outside}." if outside else ""
        handles = family_handles(shown, names)
        if others is not None:
            measured = [m.name for m in metrics if np.isfinite(_column(rows, m.name)).any()]
            within = others[inside(others, measured, panels[0].get_xlim())]
            handles += published_handles(within, dashed)
            note += published_note(within, sorted({*others["codec"]} - {*within["codec"]}))
        finish(figure, title, note, handles)
    return figure


def _panel(
    axes: Axes,
    rows: pd.DataFrame,
    metric: MetricInfo,
    styles: Mapping[str, FamilyStyle],
    ceiling: float,
    published: pd.DataFrame | None,
    looks: Mapping[str, FamilyStyle],
) -> int:
    """Draw one metric; returns how many points lie outside the axis."""
    label_panel(axes, metric.title, better_arrow(metric))
    axes.set_xlabel("rate (bits per pixel, log scale)")
    axes.set_ylabel(metric_label(metric))
    log_axis(axes, "x", rows["bpp"])
    finite = rows[np.isfinite(_column(rows, metric.name)) & (_column(rows, "bpp") > 0)]
    values = _column(finite, metric.name)
    for family, part in finite.groupby("family", sort=True):
        draw_family(axes, part, metric, styles[str(family)], str(family))
    if len(finite):
        ends = (_column(finite, f"{metric.name}_{end}") for end in ("lo", "hi"))
        limits = value_limits(values, *ends)
        if published is not None:
            draw_published(axes, published, metric.name, looks)
            limits = with_published(limits, axes, published, metric.name)
        axes.set_ylim(*with_ceiling(limits, ceiling, metric.higher_is_better))
    else:
        axes.text(0.5, 0.5, "no finite values", transform=axes.transAxes, ha="center", color=MUTED)
        if np.isfinite(ceiling):
            axes.set_ylim(ceiling - 0.1, ceiling + 0.1)
        else:
            axes.set_yticks([])
    if np.isfinite(ceiling):
        draw_ceiling(axes, ceiling, metric.higher_is_better)
    colours = [styles[family].colour for family in finite["family"]]
    return mark_outside(axes, _column(finite, "bpp"), values, colours)


def with_ceiling(limits: tuple[float, float], ceiling: float, higher: bool) -> tuple[float, float]:
    """Limits that show the ceiling too, with room for its label on the side where it is good.

    No metric is negative: below 0 there is no more than such room.
    """
    low, high = limits
    if not np.isfinite(ceiling):
        return limits
    low, high = min(low, ceiling), max(high, ceiling)
    room = _ROOM * (high - low)
    low, high = (low, max(high, ceiling + room)) if higher else (min(low, ceiling - room), high)
    return max(low, -_ROOM * high), high


def draw_ceiling(axes: Axes, ceiling: float, higher_is_better: bool) -> None:
    """A labelled dotted line at the value on the originals."""
    axes.axhline(
        ceiling, color=INK, linestyle=CEILING_DASH, linewidth=1.2, zorder=2.5, label="originals"
    )
    axes.annotate(
        f"originals {ceiling:.3f}", (0, ceiling), (3, 2 if higher_is_better else -2),
        xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=7,
        va="bottom" if higher_is_better else "top", zorder=7,
        path_effects=[withStroke(linewidth=1.8, foreground="white")],
    )  # fmt: skip


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


def pareto_optimal(
    rate: NDArray[np.float64], quality: NDArray[np.float64], higher_is_better: bool
) -> NDArray[np.bool_]:
    """Mark the points for which no other has at most the rate and at least the quality.

    Args:
        rate, quality: shape (n,), finite. Of points equal in both, only the first is marked.
        higher_is_better: False for a distance such as LPIPS or GMSD.

    Returns:
        Booleans, shape (n,), in the order given.
    """
    gain = quality if higher_is_better else -quality
    # The selection of the BD-rates: a figure's line and a BD-rate join the same points.
    order, keep = sweep(rate[np.newaxis], gain[np.newaxis])
    marked = np.zeros(len(rate), dtype=np.bool_)
    marked[order[0]] = keep[0]
    return marked


def draw_family(
    axes: Axes, rows: pd.DataFrame, metric: MetricInfo, style: FamilyStyle, family: str
) -> None:
    """Draw points and intervals of a codec entry, and the line through the Pareto-optimal ones."""
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
    wide = 1.4 if style.marker == FOREIGN else 0.9
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
                markeredgecolor=edge, markeredgewidth=0.4 if edge == "white" else wide,
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
