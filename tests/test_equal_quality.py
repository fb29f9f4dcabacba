"""Bytes at equal quality: curves of known ratios, pairing by image, levels out of reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_paired import IMAGES, equal, measured

from icmbench.reporting.statistics.bootstrap import interval, resample_indices, resampled_means
from icmbench.reporting.tables.equal_quality import COLUMNS, equal_quality_table

pytestmark = pytest.mark.usefixtures("warnings_are_errors")

METRICS = {"psnr_rgb": True, "gmsd": False}


def table(frame: pd.DataFrame, levels: dict[str, list[float]], **options: Any) -> pd.DataFrame:
    options = {"resamples": 200, "seed": 1} | options
    return equal_quality_table(frame, METRICS, ["a"], levels, **options)


def row(found: pd.DataFrame, family: str, quality: float) -> pd.Series:
    rows = found[(found["family"] == family) & (found["quality"] == quality)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_a_constant_ratio_is_exact() -> None:
    frame = measured({"a": equal(), "b": equal(3.0), "twin": equal()}, {})
    found = table(frame, {"psnr_rgb": [33.0, 31.0], "gmsd": [-32.5], "ssim": [0.9]})
    assert tuple(found.columns) == COLUMNS
    assert list(dict.fromkeys(found["quality"])) == [31.0, 33.0, -32.5]
    for level in (31.0, 33.0, -32.5):
        ours = row(found, "b", level)
        assert ours[["ratio", "lo", "hi"]].tolist() == pytest.approx([0.5] * 3)
        assert ours["anchor_bpp"] == pytest.approx(0.1 * 2 ** ((abs(level) - 30) / 3))
        assert ours["bpp"] == pytest.approx(ours["anchor_bpp"] / 2)
        assert ours[["images", "left_out", "better", "note"]].tolist() == [8, 0, 1.0, ""]
        twin = row(found, "twin", level)
        assert twin[["ratio", "lo", "hi", "better"]].tolist() == pytest.approx([1.0] * 3 + [0.5])
    assert set(found["family"]) == {"b", "twin"}  # nothing against itself
    assert set(found["anchor"]) == {"a"}


def test_the_mean_is_geometric_and_paired_by_image() -> None:
    # Images differ by 1 dB, the codecs by a factor of 2 here and 1/4 there.
    base = {image: 1.0 * n / 7 for n, image in enumerate(IMAGES)}
    gains = {image: -3.0 if n < 6 else 6.0 for n, image in enumerate(IMAGES)}
    frame = measured({"a": base, "b": {i: base[i] + gains[i] for i in IMAGES}}, {})
    found = row(table(frame, {"psnr_rgb": [34.5]}), "b", 34.5)
    logs = np.array([-gains[i] / 3 * np.log10(2) for i in IMAGES])
    assert found["ratio"] == pytest.approx(2 ** (2 / 8))
    assert found["better"] == 2 / 8
    draws = resample_indices(8, 200, seed=1, dataset="d")
    low, high = interval(resampled_means(logs, draws))
    assert (found["lo"], found["hi"]) == pytest.approx((10**low, 10**high))


def test_nothing_is_extrapolated_and_what_is_left_out_is_counted() -> None:
    # The curves of a span 27 to 39 dB; of b 30 to 42, on two images 36 to 48.
    gains = {image: 9.0 if n < 2 else 3.0 for n, image in enumerate(IMAGES)}
    found = table(measured({"a": equal(), "b": gains}, {}), {"psnr_rgb": [28.0, 33.0, 36.5]})
    none = row(found, "b", 28.0)
    assert none[["images", "left_out"]].tolist() == [0, 8]
    assert none["note"] == "on no image within the curve of b"
    assert np.isnan(none[["ratio", "bpp", "better"]].astype(float)).all()
    some = row(found, "b", 33.0)
    assert some[["images", "left_out"]].tolist() == [6, 2]
    assert some["ratio"] == pytest.approx(0.5)
    every = row(found, "b", 36.5)
    assert every["images"] == 8
    assert every["ratio"] == pytest.approx(2 ** (-(6 * 1 + 2 * 3) / 8))


def test_points_that_are_not_optimal_do_not_bend_the_curve() -> None:
    frame = measured({"a": equal(), "b": equal(3.0)}, {})
    worse = measured({"b": equal(-9.0)}, {"b": 0.07})
    worse["codec"] += "0"
    both = pd.concat([frame, worse])
    levels = {"psnr_rgb": [33.0]}
    pd.testing.assert_frame_equal(table(both, levels), table(frame, levels))


def test_lossless_and_single_points_have_no_rows() -> None:
    frame = measured({"a": equal(), "b": equal(1.0), "png": equal()}, {})
    frame = frame[(frame["family"] != "png") | (frame["codec"] == "png:quality=1")]
    frame.loc[frame["family"] == "png", "psnr_rgb"] = np.inf
    assert set(table(frame, {"psnr_rgb": [33.0]})["family"]) == {"b"}


def test_few_images_have_no_interval() -> None:
    frame = measured({"a": {"x": 0.0, "y": 0.0}, "b": {"x": 3.0, "y": 3.0}}, {})
    found = row(table(frame, {"psnr_rgb": [33.0]}), "b", 33.0)
    assert found["ratio"] == pytest.approx(0.5)
    assert np.isnan([found["lo"], found["hi"]]).all()
    assert found["note"] == "fewer than 3 images"


def test_rows_do_not_depend_on_the_order_of_measurements() -> None:
    frame = measured({"a": equal(), "b": {i: float(n) for n, i in enumerate(IMAGES)}}, {})
    levels = {"psnr_rgb": [33.0]}
    mixed = frame.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(table(frame, levels), table(mixed, levels), check_exact=True)
