"""Distortion against cluster count, per level (MPD, Fig. 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.axes import log_axis, plain
from icmbench.reporting.figures.label_maps import short_name
from icmbench.reporting.figures.panels import finish, grid, label_panel, mark_reference
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.style import family_styles, theme

Curve = tuple[Sequence[int], Sequence[float]]
Points = tuple[NDArray[np.int64], NDArray[np.float64]]
_PANEL = (2.9, 2.6)
_NOTE = (
    "Distortion: squared distance of the descriptors to their cluster's centre (inertia) over "
    "their squared distance to the mean of all, both after PCA; 1 is one cluster. Dotted: the "
    "count chosen for the pseudo-labels of the level."
)


def distortion_figure(
    curves: Mapping[str, Mapping[str, Curve]],
    chosen: Mapping[str, int],
    *,
    title: str = "Cluster count and distortion",
) -> Figure:
    """One panel per level, one curve per data set, on one distortion axis for all levels.

    Args:
        curves: data set -> level -> (cluster counts, distortions as shares of the total
            variance); every data set has the same levels.
        chosen: level -> cluster count in use, one of the counts of the first data set (the one
            that the labels were fitted on).

    Returns:
        The figure; a placeholder where there is no data set or no level.

    Raises:
        MeasurementError: levels that differ, counts or shares that are none, no chosen count.
    """
    levels = list(next(iter(curves.values()), {}))
    if not levels:
        return placeholder(title, "no level was clustered.")
    points = {
        name: {level: _points(f"{name}, {level}", own[level]) for level in own}
        for name, own in curves.items()
    }
    _check(points, levels, chosen)
    styles = family_styles(points)
    # One panel alone is wider, for the words above and below it.
    panel = _PANEL if len(levels) > 1 else (1.5 * _PANEL[0], _PANEL[1])
    top = max(float(shares.max()) for own in points.values() for _, shares in own.values())
    with theme():
        figure, panels = grid(len(levels), *panel)
        for axes, level in zip(panels, levels, strict=True):
            for name, own in points.items():
                style, label = styles[name], short_name(name, int((panel[0] - 1.0) / 0.07))
                axes.plot(*own[level], **style.line, **style.marks, label=label)
            _frame(axes, level, [own[level] for own in points.values()], chosen[level], top)
        finish(figure, title, _NOTE, panels[0].get_legend_handles_labels()[0])
    return figure


def _points(what: str, curve: Curve) -> Points:
    """Counts and shares in order of the count."""
    counts, shares = np.asarray(curve[0], np.int64), np.asarray(curve[1], np.float64)
    if counts.ndim != 1 or counts.shape != shares.shape or not len(counts):
        raise MeasurementError(f"{what}: {counts.shape} counts and {shares.shape} distortions")
    if counts.min() < 1 or len(set(counts.tolist())) < len(counts):
        raise MeasurementError(f"{what}: cluster counts {counts.tolist()} must differ and be >= 1")
    if not ((shares >= 0) & (shares <= 1 + 1e-6)).all():
        raise MeasurementError(f"{what}: a distortion is no share of the variance: {shares}")
    order = np.argsort(counts)
    return counts[order], shares[order]


def _check(
    points: Mapping[str, Mapping[str, Points]], levels: Sequence[str], chosen: Mapping[str, int]
) -> None:
    for name, own in points.items():
        if set(own) != set(levels):
            raise MeasurementError(f"{name} has the levels {list(own)}, not {list(levels)}")
    first = next(iter(points.values()))
    for level in levels:
        if chosen.get(level) not in first[level][0]:
            raise MeasurementError(f"{level}: {chosen.get(level)} is none of its cluster counts")


def _frame(axes: Axes, level: str, curves: Sequence[Points], chosen: int, top: float) -> None:
    """Axes and the chosen count, ringed on every curve that has it."""
    mark_reference(axes, chosen)
    for counts, shares in curves:
        for share in shares[counts == chosen]:
            mark_reference(axes, chosen, share)
    label_panel(axes, level, f"lower is better ↓, chosen: {chosen:,} clusters")
    tried = sorted({int(count) for counts, _ in curves for count in counts})
    log_axis(axes, "x", tried)
    axes.xaxis.set_major_locator(FixedLocator(_apart(tried)))
    axes.set_ylim(0, 1.06 * top if top else 1.0)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(plain))
    axes.set_xlabel("clusters (log)")
    axes.set_ylabel("distortion (share of variance)")


def _apart(counts: Sequence[int]) -> list[int]:
    """Those of the increasing counts whose numbers have room beside each other on a log axis."""
    least = (np.log(counts[-1]) - np.log(counts[0])) / 7.5
    kept = [counts[0]]
    for count in counts[1:]:
        if np.log(count) - np.log(kept[-1]) >= least:
            kept.append(count)
    return kept
