"""Rates that tasks need: where a curve of accuracy reaches a share of the ceiling."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.interpolate import PchipInterpolator
from test_task_tables import SETTINGS, TASK, measured, predicted, truth

from icmbench.reporting.statistics.comparison import Point
from icmbench.reporting.statistics.curves import fit, log_rate_at
from icmbench.reporting.tables.task_comparisons import Sampled, Samples
from icmbench.reporting.tables.task_rates import COLUMNS, level_of, needed_rates
from icmbench.reporting.tables.tasks import score_task
from icmbench.tasks.metrics.score import Score


@pytest.mark.parametrize("seed", range(5))
def test_rates_are_those_of_the_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rate = np.cumsum(rng.uniform(0.01, 0.5, (40, 6)), axis=1)
    quality = np.cumsum(rng.uniform(0.1, 3, (40, 6)), axis=1)
    wanted = rng.uniform(quality[:, 0] - 0.5, quality[:, -1] + 0.5)
    wanted[:3] = quality[0, 0], quality[1, 3], quality[2, -1]  # ends and points themselves
    found = log_rate_at(fit(rate, quality), wanted)
    for row, level in enumerate(wanted):
        inside = quality[row, 0] <= level <= quality[row, -1]
        expected = PchipInterpolator(quality[row], np.log10(rate[row]))(level) if inside else np.nan
        np.testing.assert_allclose(found[row], expected, atol=1e-12)


def test_what_a_share_of_a_ceiling_is() -> None:
    ceiling = np.array([0.8, 0.5])
    np.testing.assert_allclose(level_of(Score("", True), ceiling, 0.9), [0.72, 0.45])
    # An error of 0.2 is an accuracy of 0.8; nine tenths of it are 0.72, an error of 0.28.
    np.testing.assert_allclose(level_of(Score("", False), 1 - ceiling, 0.9), [0.28, 0.55])
    nme = Score("", False, most=inf)
    np.testing.assert_allclose(level_of(nme, np.array([4.5, 0.0]), 0.9), [5.0, np.nan])
    # A reading of all characters but a tenth, whatever else is read: an error can be above 1.
    np.testing.assert_allclose(level_of(nme._replace(nothing=1.0), np.zeros(1), 0.9), [0.1])


def sampled(
    points: dict[tuple[str, str], tuple[float, float]], higher: bool = True, rows: int = 61
) -> Sampled:
    """Curves whose draws differ by a factor of their rates: 1 in row 0, up to 10 % more or less."""
    factors = np.concatenate([[1.0], np.random.default_rng(1).uniform(0.9, 1.1, rows - 1)])
    factors[51:] = 1 + (factors[51:] - 1) / 10  # the jackknife's, of which one group is left out
    samples: Samples = {
        Point(family, spec): (rate * factors, {"m": np.full(rows, value)})
        for (family, spec), (rate, value) in points.items()
    }
    settings = replace(SETTINGS, resamples=50, shares=[0.5, 0.9])
    return Sampled(TASK, "d", {"m": Score("M", higher)}, samples, 8, settings)


FLAT = {("flat", "f:1"): (0.1, 0.3), ("flat", "f:2"): (0.2, 0.3)}  # one Pareto-optimal point
CURVE = {
    ("a", "a:1"): (0.1, 0.2), ("a", "a:2"): (0.2, 0.5), ("a", "a:3"): (0.4, 0.8),
    ("b", "b:1"): (0.05, 0.6), ("b", "b:2"): (0.3, 0.7), ("single", "s:1"): (0.1, 0.9),
}  # fmt: skip


def test_the_table_by_hand() -> None:
    table = needed_rates(sampled(CURVE), {"m": np.full(61, 0.8)})
    assert list(table) == list(COLUMNS)
    assert set(table["family"]) == {"a", "b"}  # one point is no curve
    rows = {(row["family"], row["share"]): row for row in table.to_dict("records")}
    a = PchipInterpolator([0.2, 0.5, 0.8], np.log10([0.1, 0.2, 0.4]))
    for share, level in ((0.5, 0.4), (0.9, 0.72)):
        row = rows["a", share]
        assert (row["ceiling"], row["level"]) == pytest.approx((0.8, level))
        assert row["bpp"] == pytest.approx(10 ** a(level))
        assert 0.85 * row["bpp"] < row["lo"] < row["bpp"] < row["hi"] < 1.2 * row["bpp"]
    low, high = rows["b", 0.5], rows["b", 0.9]
    assert np.isnan([low["bpp"], high["bpp"], high["lo"]]).all()
    assert low["note"] == "reached at the lowest rate already, 0.05 bpp"
    assert high["note"] == "not reached at the best point, 0.3 bpp"


def test_a_curve_of_one_optimal_point_reaches_a_level_or_does_not() -> None:
    for ceiling, note in ((0.3, "reached at the lowest rate already"), (0.8, "not reached")):
        table = needed_rates(sampled(FLAT), {"m": np.full(61, ceiling)})
        assert table["bpp"].isna().all()
        assert table["note"].str.startswith(note).all()
        assert table["note"].str.endswith("0.1 bpp").all()


def test_a_draw_has_the_ceiling_of_its_images() -> None:
    """Were the level that of all images, a ceiling that moves would leave the interval narrow."""
    ceiling = np.full(61, 0.6)
    still = needed_rates(sampled(CURVE), {"m": ceiling})
    moving = needed_rates(
        sampled(CURVE),
        {"m": np.concatenate([[0.6], np.linspace(0.5, 0.7, 50), np.linspace(0.59, 0.61, 10)])},
    )
    width = [t["hi"] / t["lo"] for t in (still, moving)]
    rows = (still["family"] == "a") & (still["share"] == 0.9)
    assert (still["bpp"][rows] == moving["bpp"][rows]).all()
    assert (width[1][rows] > 1.1 * width[0][rows]).all()


def test_draws_that_do_not_reach_the_level_leave_the_interval_open() -> None:
    ceiling = np.concatenate([[0.88], np.linspace(0.7, 1.0, 60)])  # 0.9 of 0.9 is above the curve
    table = needed_rates(sampled(CURVE), {"m": ceiling})
    (row,) = table[(table["family"] == "a") & (table["share"] == 0.9)].to_dict("records")
    assert row["bpp"] == pytest.approx(0.4, abs=0.02)
    assert np.isnan([row["lo"], row["hi"]]).all()
    assert "of the draws do not reach it within the curve" in row["note"]


def test_from_predictions_to_the_table(tmp_path: Path) -> None:
    settings = replace(SETTINGS, shares=[0.2])  # NME 0.01 on the originals: 0.05
    scored = score_task(TASK, measured(), truth(), predicted(tmp_path), settings)
    rates = scored.rates.set_index(["metric", "family"])
    nme = rates.loc["nme"]
    assert nme["level"].to_numpy() == pytest.approx(0.05, rel=0.05)
    # `half` takes half the bytes of `full` at every error.
    assert nme.loc["half", "bpp"] == pytest.approx(nme.loc["full", "bpp"] / 2, rel=1e-6)
    assert (nme["lo"] <= nme["bpp"]).all()
    assert (nme["bpp"] <= nme["hi"]).all()
    assert pd.isna(score_task(TASK, measured(), truth(), predicted(tmp_path / "x"), SETTINGS)
                   .rates["bpp"]).all()  # fmt: skip
