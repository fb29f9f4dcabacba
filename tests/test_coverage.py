"""Intervals of statistics that are no means: shape by hand, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from coverage_simulation import (
    Statistic,
    bd_rates,
    coverage,
    detections,
    failures,
    segments,
)

from icmbench.reporting.statistics.bootstrap import interval
from icmbench.reporting.statistics.calibration import (
    GROUPS,
    PLAIN,
    calibrated,
    jackknife_groups,
    jackknife_weights,
)


def test_groups_are_dealt_evenly_and_by_seed() -> None:
    groups = jackknife_groups(125, seed=1, dataset="d")
    sizes = np.bincount(groups)
    assert len(sizes) == GROUPS
    assert set(sizes) == {2, 3}
    assert (jackknife_groups(125, seed=1, dataset="d") == groups).all()
    assert (jackknife_groups(125, seed=2, dataset="d") != groups).any()
    assert (jackknife_groups(125, seed=1, dataset="e") != groups).any()
    # Neighbours do not stand in the order of the groups.
    assert (np.diff(groups) == 1).mean() < 0.1
    assert sorted(jackknife_groups(7, seed=1, dataset="d")) == list(range(7))
    assert jackknife_weights(np.array([1, 0, 1])).tolist() == [[1, 0, 1], [0, 1, 0]]
    assert jackknife_weights(jackknife_groups(0, seed=1, dataset="d")).shape == (0, 0)


def test_moved_and_stretched_by_hand() -> None:
    draws = np.linspace(-1.0, 1.0, 2001)  # mean 0, spread 0.5777
    deleted = np.array([0.1, 0.3, 0.3, 0.1])
    value = 0.25
    centre = 0.5  # the draws' mean lies 0.25 below the value: so much above it
    error = np.sqrt(3 / 4 * 4 * 0.01)
    half = 0.95 * error / draws.std(ddof=1) * 3.182446 / 1.959964  # t with 3 degrees of freedom
    low, high, note = calibrated(value, draws, deleted)
    assert (low, high) == pytest.approx((centre - half, centre + half), rel=1e-5)
    assert note == ""
    assert calibrated(value, draws, deleted, (0.2, 0.6))[:2] == (0.2, 0.6)


def test_an_interval_ends_at_the_range_and_holds_the_value() -> None:
    spread = np.linspace(-0.005, 0.005, 1001)
    deleted = np.linspace(-0.0001, 0.0001, 50)
    # Rare categories: the draws lie far above a value near 0, or far below one near 1.
    assert calibrated(0.003, 0.012 + spread, 0.003 + deleted, (0.0, 1.0)) == (0.0, 0.003, "")
    assert calibrated(0.99, 0.93 + spread, 0.99 + deleted, (0.0, 1.0)) == (0.99, 1.0, "")


def test_what_has_no_calibration_is_said() -> None:
    draws = np.linspace(0.0, 1.0, 201)
    plain = interval(draws)
    for deleted in (np.array([0.4, np.nan, 0.6]), np.array([0.4])):
        assert calibrated(0.5, draws, deleted) == (*plain, PLAIN)
    # Most draws undefined: no interval; equal draws: no width.
    assert np.isnan(calibrated(0.5, np.where(draws < 0.2, np.nan, draws), draws)[:2]).all()
    assert calibrated(0.5, np.full(50, 0.5), np.full(9, 0.5)) == (0.5, 0.5, "")


@pytest.mark.parametrize(
    ("statistic", "images", "trials", "least", "percentile"),
    [
        (segments(11), 30, 150, 0.90, 0.80),
        (segments(11), 100, 150, 0.91, 0.95),
        (failures(0.05), 100, 300, 0.90, 1.0),
        (bd_rates(), 11, 150, 0.91, 0.95),
        (detections(5, 0.0, 0.3), 30, 60, 0.90, 1.0),
        (detections(80, 1.0, 0.5), 100, 25, 0.80, 0.65),
    ],
)
def test_coverage(
    statistic: Statistic, images: int, trials: int, least: float, percentile: float
) -> None:
    """Near 95 %, and where the percentile interval is far below, far above that."""
    found = coverage(statistic, images, trials)
    assert found["calibrated"][0] >= least
    assert found["percentile"][0] <= percentile


@pytest.mark.slow
@pytest.mark.parametrize("images", [30, 50, 100, 500])
def test_coverage_of_the_map(images: int) -> None:
    found = coverage(detections(5, 0.0, 0.3), images, 150)
    assert 0.90 <= found["calibrated"][0] <= 0.985
    assert found["calibrated"][1] <= 0.06  # intervals above the truth
