"""Paired differences at equal rate: curves with known differences, rates out of reach, figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from icmbench.metrics import METRICS
from icmbench.reporting.figures.paired import paired_figure
from icmbench.reporting.statistics.bootstrap import interval, resample_indices, resampled_means
from icmbench.reporting.tables.paired import COLUMNS, paired_table, paired_task_rows

pytestmark = pytest.mark.usefixtures("warnings_are_errors")

METRIC = {"psnr_rgb": True, "gmsd": False}
RATES = [0.1, 0.2]
SIZE = 200
IMAGES = [f"i{n}" for n in range(8)]


def measured(families: dict[str, dict[str, float]], low: dict[str, float]) -> pd.DataFrame:
    """Points on psnr = 30 + 3 log2(bpp / 0.1) + gain; gmsd is its negative.

    Args:
        families: family -> image -> gain.
        low: family -> lowest rate of its points (0.05 where it is not named); five points follow,
            each of twice the rate.
    """
    rows = []
    for family, gains in families.items():
        for image, gain in gains.items():
            for number in range(5):
                size = round(low.get(family, 0.05) * 2**number * SIZE * SIZE / 8)
                bpp = 8 * size / SIZE**2
                psnr = 30 + 3 * np.log2(bpp / 0.1) + gain
                rows.append(
                    {
                        "dataset": "d", "image": image, "family": family,
                        "codec": f"{family}:quality={number}", "bytes": size, "width": SIZE,
                        "height": SIZE, "bpp": bpp, "status": "ok", "psnr_rgb": psnr,
                        "gmsd": -psnr,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def table(frame: pd.DataFrame, rates: list[float] = RATES, **options: Any) -> pd.DataFrame:
    options = {"resamples": 200, "seed": 1} | options
    return paired_table(frame, METRIC, ["a"], rates, **options)


def cell(found: pd.DataFrame, family: str, metric: str, bpp: float) -> pd.Series:
    rows = found[(found["family"] == family) & (found["metric"] == metric) & (found["bpp"] == bpp)]
    assert len(rows) == 1
    return rows.iloc[0]


def equal(gain: float = 0.0) -> dict[str, float]:
    return dict.fromkeys(IMAGES, gain)


def test_a_constant_difference_is_exact() -> None:
    found = table(measured({"a": equal(), "b": equal(1.5), "twin": equal()}, {}))
    assert tuple(found.columns) == COLUMNS
    for rate in RATES:
        row = cell(found, "b", "psnr_rgb", rate)
        assert row[["difference", "lo", "hi"]].tolist() == pytest.approx([1.5] * 3)
        assert row["value_against"] == pytest.approx(30 + 3 * np.log2(rate / 0.1))
        assert row[["images", "left_out", "better"]].tolist() == [8, 0, 1.0]
        assert (row["against"], row["task"], row["note"]) == ("a", "", "")
        lower = cell(found, "b", "gmsd", rate)
        assert lower["difference"] == pytest.approx(-1.5)
        assert lower["better"] == 1.0
        twin = cell(found, "twin", "psnr_rgb", rate)
        assert twin[["difference", "lo", "hi", "better"]].tolist() == [0.0, 0.0, 0.0, 0.5]
    assert set(found["family"]) == {"b", "twin"}  # nothing against itself


def test_the_interval_is_paired_by_image() -> None:
    # Images differ by 20 dB, the codecs by 2 dB here and -1 dB there.
    base = {image: 20.0 * n / 7 for n, image in enumerate(IMAGES)}
    gains = {image: 2.0 if n < 5 else -1.0 for n, image in enumerate(IMAGES)}
    frame = measured({"a": base, "b": {i: base[i] + gains[i] for i in IMAGES}}, {})
    row = cell(table(frame), "b", "psnr_rgb", 0.1)
    assert row["difference"] == pytest.approx(7 / 8)
    assert row["better"] == 5 / 8
    draws = resample_indices(8, 200, seed=1, dataset="d")
    expected = interval(resampled_means(np.array([gains[i] for i in IMAGES]), draws))
    assert (row["lo"], row["hi"]) == pytest.approx(expected)


def test_nothing_is_extrapolated_and_what_is_left_out_is_counted() -> None:
    frame = measured({"a": equal(), "b": equal(1.0)}, {"b": 0.15})
    found = table(frame, [0.1, 0.2])
    row = cell(found, "b", "psnr_rgb", 0.1)
    assert row[["images", "left_out"]].tolist() == [0, 8]
    assert row["note"] == "this rate is beyond the curve of b"
    assert np.isnan(row["difference"])
    assert cell(found, "b", "psnr_rgb", 0.2)["difference"] == pytest.approx(1.0)
    # On two of eight images the curve of b begins above the rate.
    some = pd.concat(
        [
            measured({"a": equal()}, {}),
            measured({"b": dict.fromkeys(IMAGES[2:], 1.0)}, {}),
            measured({"b": dict.fromkeys(IMAGES[:2], 9.0)}, {"b": 0.15}),
        ]
    )
    row = cell(table(some, [0.1]), "b", "psnr_rgb", 0.1)
    assert row[["images", "left_out"]].tolist() == [6, 2]
    assert row["difference"] == pytest.approx(1.0)
    assert row["value_against"] == pytest.approx(30.0)


def test_rows_do_not_depend_on_the_order_of_measurements() -> None:
    frame = measured({"a": equal(), "b": {i: float(n) for n, i in enumerate(IMAGES)}}, {})
    mixed = frame.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(table(frame), table(mixed), check_exact=True)


def test_one_point_and_a_missing_anchor_have_no_rows() -> None:
    frame = measured({"a": equal(), "b": equal(1.0)}, {})
    one = frame[(frame["family"] != "b") | (frame["codec"] == "b:quality=1")]
    assert table(one).empty
    assert table(frame[frame["family"] == "b"]).empty


def test_a_codec_that_failed_has_another_note_than_a_rate_out_of_reach() -> None:
    frame = measured({"a": equal(), "b": equal(1.0)}, {})
    frame.loc[(frame["family"] == "b") & (frame["codec"] != "b:quality=1"), "status"] = "broken"
    found = table(frame)
    assert set(found["note"]) == {"fewer than two points with a value: b"}
    assert (found["images"] == 0).all()


def pooled(values: np.ndarray, rates: np.ndarray, **options: Any) -> list[dict[str, object]]:
    """Rows of the pooled metric m of a and b; both (rows, points), the draws after row 0."""
    curves = {"a": (rates, values), "b": (rates, values + 0.25)}
    keys = {"resamples": 20, "images": 9} | options
    return paired_task_rows(
        {"dataset": "d", "task": "t"}, lambda _: curves, {"m": True}, ["a"], [0.05, 0.2], **keys
    )


def test_pooled_metrics_are_read_between_the_points_draw_by_draw() -> None:
    noise = np.random.default_rng(1).normal(0, 0.01, (31, 1))
    rates = np.array([[0.1, 0.2, 0.4]]) + 0.0 * noise
    values = np.array([[0.2, 0.4, 0.6]]) + noise
    low, at = pooled(values, rates)
    assert at["difference"] == pytest.approx(0.25)
    assert at["value"] == pytest.approx(0.4 + noise[0, 0] + 0.25)
    assert (at["lo"], at["hi"]) == pytest.approx((0.25, 0.25))
    assert (at["images"], at["left_out"]) == (9, 0)
    assert (low["images"], low["left_out"]) == (0, 9)
    assert low["note"] == "this rate is beyond the curve of b and of a"


def test_draws_whose_curves_end_before_the_rate_are_counted() -> None:
    rates = np.tile([0.1, 0.2, 0.4], (31, 1))
    rates[5:7] += 0.15  # two of twenty draws begin above 0.2
    values = np.tile([0.2, 0.4, 0.6], (31, 1))
    at = pooled(values, rates)[1]
    assert at["difference"] == pytest.approx(0.25)
    assert at["note"] == "interval is incomplete: 2 of 20 resamples give no value"
    rates[5:9] += 0.15
    at = pooled(values, rates)[1]
    assert at["note"].startswith("no interval: 4 of 20")
    assert np.isnan(at["lo"])


def test_figure_of_image_metrics_and_tasks() -> None:
    gains = {i: 0.5 * n - 1 for n, i in enumerate(IMAGES)}
    found = table(measured({"a": equal(), "b": gains, "webp": equal(-1.0)}, {}))
    task = pd.DataFrame(found[found["metric"] == "psnr_rgb"]).assign(task="boxes", metric="box_map")
    metrics = [METRICS[name] for name in METRIC]
    figure = paired_figure(pd.concat([found, task]), metrics, "d", ["absent", "a"])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["PSNR (RGB)", "GMSD", "box mAP, boxes"]
    texts = [text.get_text() for text in figure.texts]
    assert "Differences at equal rate, d, against a" in texts
    assert any("never extrapolated" in text for text in texts)
    # Two codecs at two rates, each a dot; the zero line is the anchor.
    dots = [line for line in figure.axes[0].lines if line.get_linestyle() == "None"]
    assert len(dots) == 4
    # Of b the interval holds 0, of webp it does not.
    assert {dot.get_markerfacecolor() == "white" for dot in dots} == {True, False}
    # A difference on one image has no interval: it is no dot.
    alone = found.assign(lo=found["lo"].where(found["bpp"] == 0.1))
    axes = paired_figure(alone, metrics, "d", ["a"]).axes[0]
    assert len([line for line in axes.lines if line.get_linestyle() == "None"]) == 2
    empty = found.assign(difference=np.nan)
    words = [text.get_text() for text in paired_figure(empty, metrics, "d", ["a"]).texts]
    assert any("no two codecs reach" in text for text in words)
