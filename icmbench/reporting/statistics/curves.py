"""Rate-quality curves and the mean rate ratio between two of them, for many curves at once.

A curve is the log-rate as a function of quality through the Pareto-optimal points, interpolated
by the monotone piecewise cubic Hermite polynomial (PCHIP) with the derivatives of Fritsch and
Butland, SIAM J. Sci. Stat. Comput. 5(2), 1984. The mean difference of two log-rate curves over
their common quality interval is the Bjøntegaard delta (VCEG-M33, 2001). PCHIP, not Akima or the
original cubic, since it follows monotone points without overshoot: the curve of a bootstrap
resample whose points nearly coincide stays between them, where the others swing.

Arrays have one row per curve (the original and its resamples) and are computed without a loop
over the rows; `bjontegaard`, which takes one pair of curves at a time, is the reference that the
tests hold this file to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from icmbench.reporting.statistics.bootstrap import Floats

# Smaller steps in quality are rounding noise of a mean, not a better point.
_STEP = 1e-12


@dataclass(frozen=True)
class Curves:
    """Curves, one a row; the first `points` entries of a row count, the rest is padding."""

    quality: Floats
    """(curves, points), strictly increasing, padded with infinity."""
    log_rate: Floats
    """(curves, points), log10 of the rate, increasing."""
    slope: Floats
    """(curves, points), derivative of log_rate by quality."""
    area: Floats
    """(curves, points), integral of log_rate from the first point."""
    points: NDArray[np.int64]
    """(curves,)"""
    names: tuple[str, ...] = ()
    """Of the first curve's points, where they were given."""

    @property
    def low(self) -> Floats:
        """Lowest quality, nan for a curve of fewer than two points."""
        return np.where(self.points >= 2, self.quality[:, 0], np.nan)

    @property
    def high(self) -> Floats:
        """Highest quality, nan for a curve of fewer than two points."""
        last = np.maximum(self.points - 1, 0)[:, np.newaxis]
        return np.where(
            self.points >= 2, np.take_along_axis(self.quality, last, axis=1)[:, 0], np.nan
        )


def pareto(rate: Floats, quality: Floats) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Pareto-optimal points of every row: rate and quality, both (curves, points), finite.

    Returns rates and qualities sorted by rate, the optimal ones (both strictly increasing) first
    in each row, and their number. A point is dropped if another one of no more rate has at least
    its quality.
    """
    order, keep = sweep(rate, quality)
    rate = np.take_along_axis(rate, order, axis=1)
    quality = np.take_along_axis(quality, order, axis=1)
    front = np.argsort(~keep, axis=1, kind="stable")
    return (
        np.take_along_axis(rate, front, axis=1),
        np.take_along_axis(quality, front, axis=1),
        keep.sum(axis=1),
    )


def sweep(rate: Floats, quality: Floats) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The order of every row's points by rate, and which of them, so ordered, are Pareto-optimal.

    At one rate the best quality comes first; of equal points the first one is optimal.
    """
    order = np.lexsort((-quality, rate), axis=-1)
    sorted_quality = np.take_along_axis(quality, order, axis=1)
    best = np.maximum.accumulate(sorted_quality, axis=1)
    before = np.concatenate([np.full((len(best), 1), -np.inf), best[:, :-1]], axis=1)
    return order, sorted_quality > before + _STEP


def fit(rate: Floats, quality: Floats, names: Sequence[str] = ()) -> Curves:
    """The curve through the Pareto-optimal points of every row.

    `rate` in bits per pixel, `quality` higher is better, both (curves, points) with at least one
    point, finite, rates above zero; `names` of the points (points,), where they have some.
    """
    kept: tuple[str, ...] = ()
    if names:
        order, keep = sweep(rate[:1], quality[:1])
        kept = tuple(names[number] for number in order[0][keep[0]])
    rate, quality, points = pareto(rate, quality)
    padding = np.arange(quality.shape[1]) >= points[:, np.newaxis]
    quality = np.where(padding, np.inf, quality)
    log_rate = np.log10(rate)
    slope = np.zeros_like(quality)
    area = np.zeros_like(quality)
    # Rows of equal length form a rectangle; there are no more lengths than points.
    for count in np.unique(points[points >= 2]):
        rows = points == count
        x, y = quality[rows, :count], log_rate[rows, :count]
        d = _slopes(x, y)
        h = np.diff(x, axis=1)
        pieces = h * (y[:, :-1] + y[:, 1:]) / 2 + h**2 * (d[:, :-1] - d[:, 1:]) / 12
        slope[rows, :count] = d
        area[rows, 1:count] = np.cumsum(pieces, axis=1)
    return Curves(quality, log_rate, slope, area, points, kept)


def _slopes(x: Floats, y: Floats) -> Floats:
    """Derivatives at the points of rows that increase in x and y, shape (curves, count)."""
    h = np.diff(x, axis=1)
    m = np.diff(y, axis=1) / h
    if x.shape[1] == 2:
        return np.repeat(m, 2, axis=1)
    left, right = h[:, :-1], h[:, 1:]
    w_left, w_right = left + 2 * right, 2 * left + right
    # A flat piece has m = 0: the harmonic mean's limit is 0, which 1 / inf gives.
    with np.errstate(divide="ignore"):
        inner = (w_left + w_right) / (w_left / m[:, :-1] + w_right / m[:, 1:])
    first = _end_slope(h[:, 0], h[:, 1], m[:, 0], m[:, 1])
    last = _end_slope(h[:, -1], h[:, -2], m[:, -1], m[:, -2])
    return np.concatenate([first[:, np.newaxis], inner, last[:, np.newaxis]], axis=1)


def _end_slope(h0: Floats, h1: Floats, m0: Floats, m1: Floats) -> Floats:
    """Three-point derivative at an end, not below zero; m0 and m1 are never negative here."""
    return np.maximum(((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1), 0.0)


def log_rate_at(curves: Curves, quality: Floats) -> Floats:
    """log10 of the rate of every row at its `quality`, both (curves,); nan beyond its two ends."""
    found = np.full(len(quality), np.nan)
    inside = (curves.points >= 2) & (quality >= curves.low) & (quality <= curves.high)
    s, h, y0, y1, d0, d1, _ = _piece(curves, inside, quality[inside])
    # The four cubic Hermite basis polynomials.
    values = y0 * (1 - 3 * s**2 + 2 * s**3) + y1 * (3 * s**2 - 2 * s**3)
    found[inside] = values + h * (d0 * (s - 2 * s**2 + s**3) + d1 * (s**3 - s**2))
    return found


def common_interval(test: Curves, anchor: Curves) -> tuple[Floats, Floats, Floats]:
    """Common quality interval of the rows of two sets of curves: low, high, overlap.

    overlap = width of the intersection ÷ width of the union of the two quality ranges (the
    definition of the `bjontegaard` package), 0…1; nan where a curve has fewer than two points.
    """
    low, high = np.maximum(test.low, anchor.low), np.minimum(test.high, anchor.high)
    union = np.maximum(test.high, anchor.high) - np.minimum(test.low, anchor.low)
    return low, high, np.maximum(high - low, 0.0) / union


def rate_change(test: Curves, anchor: Curves, min_overlap: float) -> Floats:
    """BD-rate of every row as a fraction (-0.2: 20 % fewer bits at equal quality), (curves,).

    nan where the overlap is below `min_overlap` or empty.
    """
    low, high, overlap = common_interval(test, anchor)
    valid = (overlap >= min_overlap) & (high > low)
    result = np.full(len(valid), np.nan)
    low, high = low[valid], high[valid]
    areas = [
        _area_to(curves, valid, high) - _area_to(curves, valid, low) for curves in (test, anchor)
    ]
    result[valid] = 10.0 ** ((areas[0] - areas[1]) / (high - low)) - 1.0
    return result


def _area_to(curves: Curves, rows: NDArray[np.bool_], quality: Floats) -> Floats:
    """Integral of log_rate from the first point of the chosen rows up to `quality` (rows,)."""
    s, h, y0, y1, d0, d1, area = _piece(curves, rows, quality)
    # Integrals of the four cubic Hermite basis polynomials from 0 to s.
    values = y0 * (s - s**3 + s**4 / 2) + y1 * (s**3 - s**4 / 2)
    slopes = d0 * (s**2 / 2 - 2 * s**3 / 3 + s**4 / 4) + d1 * (s**4 / 4 - s**3 / 3)
    return area + h * (values + h * slopes)


def _piece(curves: Curves, rows: NDArray[np.bool_], quality: Floats) -> tuple[Floats, ...]:
    """The piece of each chosen row that holds `quality` (rows,).

    Returns the place in it from 0 to 1, its width, log-rates and derivatives at its two ends, and
    the integral up to it.
    """
    x = curves.quality[rows]
    inside = (x <= quality[:, np.newaxis]).sum(axis=1) - 1
    piece = np.clip(inside, 0, curves.points[rows] - 2)[:, np.newaxis]

    def at(table: Floats, column: NDArray[np.int64]) -> Floats:
        return np.take_along_axis(table[rows], column, axis=1)[:, 0]

    x0, h = at(curves.quality, piece), at(curves.quality, piece + 1) - at(curves.quality, piece)
    y0, y1 = at(curves.log_rate, piece), at(curves.log_rate, piece + 1)
    d0, d1 = at(curves.slope, piece), at(curves.slope, piece + 1)
    return (quality - x0) / h, h, y0, y1, d0, d1, at(curves.area, piece)
