"""The tables: means, intervals, BD-rates, timing, jobs, failures, and the bytes of the CSVs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icmbench.codecs.registry import codec_class
from icmbench.core.devices import UNUSED
from icmbench.core.errors import MeasurementError
from icmbench.reporting.report.provenance import bare_version, codecs_table, coder_versions
from icmbench.reporting.statistics.bootstrap import (
    interval,
    mean,
    resample_indices,
    resampled_means,
)
from icmbench.reporting.statistics.comparison import Point, comparison_set, describe
from icmbench.reporting.statistics.curves import common_interval, fit, pareto, rate_change
from icmbench.reporting.statistics.natural import natural_key
from icmbench.reporting.tables import bd_rate as bd_module
from icmbench.reporting.tables import rd as rd_module
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.reporting.tables.curve_range import RANGE
from icmbench.reporting.tables.failures import failures_table
from icmbench.reporting.tables.jobs import jobs_table, log_of
from icmbench.reporting.tables.timing import encodings, timing_table

pytestmark = pytest.mark.usefixtures("warnings_are_errors")

WIDTH, HEIGHT = 100, 80


def rd_table(frame: pd.DataFrame, metrics: list[str], **options: Any) -> pd.DataFrame:
    return rd_module.rd_table(frame, metrics, **{"resamples": 50, "seed": 1} | options)


def bd_table(
    frame: pd.DataFrame, metrics: Mapping[str, bool], anchors: list[str], **options: Any
) -> pd.DataFrame:
    options = {"resamples": 40, "seed": 1} | options
    return bd_module.bd_rate_table(frame, metrics, anchors, **options)


def row(image: str, family: str, point: object, size: int, **values: object) -> dict[str, object]:
    """One ok measurement of `size` bytes."""
    codec = f"{family}:quality={point}"
    return {
        "dataset": "photos",
        "image": image,
        "family": family,
        "codec": codec,
        "encoding": codec,
        "bytes": size,
        "width": WIDTH,
        "height": HEIGHT,
        "bpp": 8 * size / (WIDTH * HEIGHT),
        "status": "ok",
        "detail": "",
    } | values


def failed(image: str, family: str, point: object, status: str = "timeout") -> dict[str, object]:
    empty = {"bytes": pd.NA, "bpp": np.nan, "status": status}
    return row(image, family, point, 1) | empty


def frame_of(rows: list[dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame(rows).astype({"bytes": "Int64"})


def photos(
    families: Mapping[str, float], images: int = 6, points: int = 5, seed: int = 0
) -> pd.DataFrame:
    """Measurements like a codec's: family -> rate factor, noisy per image and family."""
    generator = np.random.default_rng(seed)
    hard = generator.lognormal(0, 0.5, images)
    rows = []
    for family, factor in families.items():
        noise = generator.lognormal(0, 0.05, (points, images))
        for point in range(points):
            for image in range(images):
                size = int(1000 * factor * 1.6**point * hard[image] * noise[point, image])
                psnr = 28 + 2.5 * point - np.log(hard[image]) + generator.normal(0, 0.2)
                values = {"psnr": psnr, "lpips": float(np.exp(-psnr / 10))}
                rows.append(row(f"i{image:03}", family, point, size, **values))
    return frame_of(rows)


def by_codec(table: pd.DataFrame, codec: str) -> pd.Series:
    found = table[table["codec"] == codec]
    assert len(found) == 1
    return found.iloc[0]


# --- rate and distortion -------------------------------------------------------------------


def test_rd_means_by_hand() -> None:
    rows = [
        row("b", "webp", 50, 3000, psnr=40.0),
        row("a", "webp", 50, 1000, psnr=30.0),
        row("a", "webp", 9, 500, psnr=20.0),
        row("b", "webp", 9, 1500, psnr=25.0),
        row("a", "avif", 1, 9000, psnr=50.0),
        row("b", "avif", 1, 9000, psnr=51.0),
    ]
    table = rd_table(frame_of(rows), ["psnr"])
    head = ["dataset", "codec", "family", "images", "failed"]
    ends = ["bpp", "bpp_lo", "bpp_hi", "psnr", "psnr_lo", "psnr_hi"]
    assert list(table.columns) == head + ends
    # By family, then by rate: quality 9 before 50, which text order would turn round.
    assert list(table["codec"]) == ["avif:quality=1", "webp:quality=9", "webp:quality=50"]
    assert list(table["bpp"]) == [9.0, 1.0, 2.0]
    assert list(table["psnr"]) == [50.5, 22.5, 35.0]
    assert list(table["images"]) == [2, 2, 2]
    # Two images: no interval. With a third, 50 draws hold the extremes, 1 in 27 each.
    assert table[["bpp_lo", "psnr_lo", "psnr_hi"]].isna().all(axis=None)
    rows += [row("c", "webp", 50, 2000, psnr=35.0), row("c", "webp", 9, 1000, psnr=22.5)]
    rows += [row("c", "avif", 1, 9000, psnr=50.5)]
    table = rd_table(frame_of(rows), ["psnr"])
    assert list(table["psnr"]) == [50.5, 22.5, 35.0]
    assert (table.loc[2, "psnr_lo"], table.loc[2, "psnr_hi"]) == (30.0, 40.0)


def test_a_failure_on_one_image_removes_the_image_for_all() -> None:
    rows = [row(i, "a", 1, 1000, psnr=p) for i, p in zip("wxyz", (10, 20, 30, 90), strict=True)]
    rows += [row(i, "b", 1, 1000, psnr=40.0) for i in "wxy"] + [failed("z", "b", 1)]
    table = rd_table(frame_of(rows), ["psnr"])
    assert by_codec(table, "a:quality=1")["psnr"] == 20.0
    assert list(table["images"]) == [3, 3]
    assert list(table["failed"]) == [0, 1]
    chosen = comparison_set(frame_of(rows), 0.25)["photos"]
    assert chosen.images == ("w", "x", "y")
    assert chosen.left_out == {"z": (Point("b", "b:quality=1"),)}
    assert chosen.excluded == {}


@pytest.mark.parametrize("absent", [False, True])
def test_a_string_that_fails_often_does_not_empty_the_others(absent: bool) -> None:
    rows = [row(i, "a", 1, 1000, psnr=float(n)) for n, i in enumerate("wxyz")]
    rows += [row(i, "b", 1, 1000, psnr=1.0) for i in "wx"]
    rows += [] if absent else [failed("y", "b", 1), failed("z", "b", 1)]
    table = rd_table(frame_of(rows), ["psnr"])
    assert by_codec(table, "a:quality=1")["psnr"] == 1.5
    out = by_codec(table, "b:quality=1")
    assert (out["images"], out["failed"]) == (0, 2)
    numbers = out[["bpp", "bpp_lo", "bpp_hi", "psnr", "psnr_lo", "psnr_hi"]]
    assert numbers.isna().all()
    chosen = comparison_set(frame_of(rows), 0.25)["photos"]
    assert chosen.excluded == {Point("b", "b:quality=1"): 2}
    assert chosen.images == tuple("wxyz")
    # Half is allowed to fail: now the two images go.
    assert rd_table(frame_of(rows), ["psnr"], max_failed=0.5)["psnr"].tolist() == [0.5, 1.0]


def test_nothing_coded_gives_empty_averages_not_an_error() -> None:
    rows = [failed(i, f, 1) | {"psnr": np.nan} for i in "xy" for f in "ab"]
    table = rd_table(frame_of(rows), ["psnr"], max_failed=1.0)
    assert list(table["failed"]) == [2, 2]
    assert table["bpp"].isna().all()
    assert comparison_set(frame_of(rows), 1.0)["photos"].images == ()
    # Whatever the limit, a string that coded nothing empties nobody else.
    rows += [row(i, "c", 1, 1000, psnr=3.0) for i in "xy"]
    table = rd_table(frame_of(rows), ["psnr"], max_failed=1.0)
    assert list(table["images"]) == [0, 0, 2]


def test_data_sets_do_not_touch_each_other() -> None:
    rows = [row("x", "a", 1, 1000), row("x", "b", 1, 1000)]
    other = [row("y", "a", 1, 2000), failed("y", "b", 1)]
    rows += [r | {"dataset": "scenes"} for r in other]
    table = rd_table(frame_of(rows), [])
    assert list(table["dataset"]) == ["photos", "photos", "scenes", "scenes"]
    assert list(table["images"]) == [1, 1, 1, 0]


def test_lossless_stays_infinite() -> None:
    inf = float("inf")
    rows = [row(i, "png", 1, 5000, psnr=inf) for i in "abcd"]
    rows += [row(i, "near", 1, 4000, psnr=inf if i == "a" else 50.0) for i in "abcd"]
    table = rd_table(frame_of(rows), ["psnr"])
    assert by_codec(table, "png:quality=1")[["psnr", "psnr_lo", "psnr_hi"]].tolist() == [inf] * 3
    # One flat image must not make a lossy codec's mean infinite: it goes, for both.
    near = by_codec(table, "near:quality=1")
    assert near[["psnr", "psnr_lo", "psnr_hi"]].tolist() == [50.0] * 3
    assert list(table["images"]) == [3, 3]
    chosen = comparison_set(frame_of(rows), 0.25, ["psnr"])
    assert chosen["photos"].images == tuple("bcd")
    assert describe(chosen)["photos"]["infinite"] == {"a": [["psnr", "near:quality=1"]]}
    # Without loss on most images, a string is as good as lossless; it empties nothing.
    for image in "bc":
        rows[4 + "abcd".index(image)]["psnr"] = inf
    table = rd_table(frame_of(rows), ["psnr"])
    assert list(table["images"]) == [4, 4]
    assert by_codec(table, "near:quality=1")["psnr"] == inf


def test_undefined_metrics() -> None:
    nan = float("nan")
    rows = []
    for image, size, a, b in (("s", 1000, nan, nan), ("t", 2000, 0.5, nan), ("u", 3000, 0.7, 0.9)):
        rows += [row(image, "a", 1, size, ms_ssim=a, none=nan)]
        rows += [row(image, "b", 1, size, ms_ssim=b, none=nan)]
    table = rd_table(frame_of(rows), ["ms_ssim", "none"])
    # s has no value, t none for b: neither is averaged, not in a and not in the rate either.
    assert list(table["ms_ssim"]) == [0.7, 0.9]
    assert list(table["bpp"]) == [3.0, 3.0]
    assert list(table["images"]) == [1, 1]
    # A metric defined nowhere leaves nobody out; without the other one all three are compared.
    assert table[["none", "none_lo", "none_hi"]].isna().all(axis=None)
    assert list(rd_table(frame_of(rows), ["none"])["images"]) == [3, 3]
    told = describe(comparison_set(frame_of(rows), 0.25, ["ms_ssim", "none"]))["photos"]
    assert told == {
        "images": ["u"], "left_out": {}, "excluded": {}, "infinite": {},
        "undefined": {"s": ["ms_ssim"], "t": ["ms_ssim"]},
    }  # fmt: skip


def test_a_point_without_any_value_of_a_metric_leaves_nobody_out() -> None:
    nan = float("nan")
    rows = [row(i, "a", 1, 1000, vmaf=float(n)) for n, i in enumerate("wxyz")]
    rows += [row(i, "b", 1, 1000, vmaf=nan) for i in "wxyz"]
    table = rd_table(frame_of(rows), ["vmaf"])
    assert list(table["images"]) == [4, 4]
    assert table.loc[0, "vmaf"] == 1.5
    assert np.isnan(table.loc[1, "vmaf"])


def test_points_never_share_a_column_over_different_images() -> None:
    # Each image lacks the metric for one of the two: nobody can be left out, so no averages.
    nan = float("nan")
    rows = [row("x", "a", 1, 1000, vmaf=1.0), row("y", "a", 1, 1000, vmaf=nan)]
    rows += [row("x", "b", 1, 1000, vmaf=nan), row("y", "b", 1, 1000, vmaf=2.0)]
    table = rd_table(frame_of(rows), ["vmaf"])
    assert list(table["images"]) == [2, 2]
    assert table["vmaf"].isna().all()


def test_an_image_that_failed_is_not_called_undefined() -> None:
    # The only image of some codec's failure is also the only one large enough.
    nan = float("nan")
    rows = [row(i, f, 1, 1000, vmaf=nan) for i in "wxyv" for f in "ab"]
    rows += [row("z", "a", 1, 1000, vmaf=1.0), failed("z", "b", 1)]
    chosen = comparison_set(frame_of(rows), 0.25, ["vmaf"])["photos"]
    assert chosen.images == ("v", "w", "x", "y")
    assert set(chosen.left_out) == {"z"}
    assert chosen.undefined == {}


@pytest.mark.parametrize("images", [1, 2, 3])
def test_below_three_images_there_is_no_interval(images: int) -> None:
    few = photos({"a": 1.0, "b": 1.3}, images=images)
    table = rd_table(few, ["psnr"])
    rates = bd_table(few, {"psnr": True}, ["a"])
    ends = table[["bpp_lo", "bpp_hi", "psnr_lo", "psnr_hi"]]
    assert table[["bpp", "psnr"]].notna().all(axis=None)
    assert rates["bd_rate"].notna().all()
    if images < 3:
        assert ends.isna().all(axis=None)
        assert rates[["lo", "hi"]].isna().all(axis=None)
        assert set(rates["note"]) == {"fewer than 3 images"}
    else:
        assert ends.notna().all(axis=None)
        assert rates[["lo", "hi"]].notna().all(axis=None)
        assert set(rates["note"]) == {""}


@given(st.permutations(range(60)), st.integers(0, 2**40))
def test_tables_do_not_depend_on_row_order(order: list[int], seed: int) -> None:
    frame = photos({"a": 1.0, "b": 1.2})
    frame.loc[[3, 40], ["status", "bytes", "bpp", "psnr"]] = ["crashed", pd.NA, np.nan, np.nan]
    shuffled = frame.iloc[order]
    first = rd_table(frame, ["psnr", "lpips"], seed=seed)
    pd.testing.assert_frame_equal(
        first, rd_table(shuffled, ["psnr", "lpips"], seed=seed), check_exact=True
    )
    metrics = {"psnr": True, "lpips": False}
    pd.testing.assert_frame_equal(
        bd_table(frame, metrics, ["a"], seed=seed),
        bd_table(shuffled, metrics, ["a"], seed=seed),
        check_exact=True,
    )
    pd.testing.assert_frame_equal(failures_table(frame), failures_table(shuffled))


@given(
    st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=12),
    st.integers(0, 99),
)
def test_the_interval_holds_the_mean(values: list[float], seed: int) -> None:
    column = np.array(values)
    draws = resample_indices(len(values), 200, seed=seed, dataset="d")
    lo, hi = interval(resampled_means(column, draws))
    assert lo <= mean(column) <= hi
    assert min(values) - 1e-9 <= lo
    assert hi <= max(values) + 1e-9
    assert mean(column) == pytest.approx(np.mean(column), abs=1e-9)


def test_every_codec_sees_the_same_draws() -> None:
    frame = photos({"a": 1.0}, images=30)
    better = frame.assign(
        family="b", codec=frame["codec"].str.replace("a:", "b:"), psnr=frame["psnr"] + 1.0
    )
    table = rd_table(pd.concat([frame, better]), ["psnr"])
    a, b = table[table["family"] == "a"], table[table["family"] == "b"]
    for name in ("psnr", "psnr_lo", "psnr_hi"):
        assert (b[name].to_numpy() - a[name].to_numpy()) == pytest.approx(1.0, abs=1e-9)
    assert (a["psnr_hi"] - a["psnr_lo"] > 0.05).all()


def test_draws_are_seeded_and_extended() -> None:
    few = resample_indices(9, 20, seed=1, dataset="d")
    assert few.shape == (20, 9)
    assert (resample_indices(9, 30, seed=1, dataset="d")[:20] == few).all()
    assert (resample_indices(9, 20, seed=2, dataset="d") != few).any()
    assert (resample_indices(9, 20, seed=1, dataset="e") != few).any()
    many = resample_indices(5, 4000, seed=1, dataset="d")
    shares = np.bincount(many.ravel(), minlength=5) / many.size
    assert shares == pytest.approx([0.2] * 5, abs=0.01)
    with pytest.raises(MeasurementError, match="resamples"):
        resample_indices(9, 19, seed=1, dataset="d")


def test_interval_order_statistics_by_hand() -> None:
    samples = np.random.default_rng(0).permutation(np.arange(1001.0))
    assert interval(samples) == (25.0, 975.0)
    assert interval(samples[samples < 200]) == (4.0, 195.0)
    mostly = np.where(samples < 150, np.nan, samples)
    assert np.isnan(interval(mostly)).all()
    assert interval(np.where(samples < 100, np.nan, samples))[0] == 122.0


def test_coverage_of_the_mean() -> None:
    generator = np.random.default_rng(5)
    hits, widths = 0, []
    for trial in range(400):
        column = generator.gamma(4.0, 1.0, 40)
        draws = resample_indices(40, 400, seed=trial, dataset="d")
        lo, hi = interval(resampled_means(column, draws))
        hits += lo <= 4.0 <= hi
        widths.append(hi - lo)
    assert 0.90 <= hits / 400 <= 0.97
    # A gamma of shape 4 has standard deviation 2.
    assert np.mean(widths) == pytest.approx(2 * 1.96 * 2 / np.sqrt(40), rel=0.06)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bpp": 0.9}, "bpp is not"),
        ({"bytes": 0, "bpp": 0.0}, "bpp is not"),
        ({"bpp": np.nan}, "bpp is not"),
        ({"image": "b"}, "measured twice"),
        ({"status": None}, "no dataset"),
    ],
)
def test_bad_measurements_are_refused(change: dict[str, object], message: str) -> None:
    rows = [row("a", "webp", 1, 1000) | change, row("b", "webp", 1, 1000)]
    with pytest.raises(MeasurementError, match=message):
        rd_table(frame_of(rows), [])


def test_missing_columns_are_named() -> None:
    frame = frame_of([row("a", "webp", 1, 1000)])
    with pytest.raises(MeasurementError, match="dists, width"):
        rd_table(frame.drop(columns="width"), ["dists"])


# --- BD-rate -------------------------------------------------------------------------------


def curve(
    family: str, rate: float, qualities: list[float], images: str = "abc"
) -> list[dict[str, object]]:
    """Points on log2(bytes) = quality/3 + log2(rate); `error` is the same, lower is better."""
    rows = []
    for quality in qualities:
        size = round(rate * 2 ** (quality / 3))
        assert size == rate * 2 ** (quality / 3)
        values = {"psnr": quality, "error": 100 - quality}
        rows += [row(image, family, quality, size, **values) for image in images]
    return rows


def test_constant_rate_ratio_is_exact() -> None:
    rows = curve("anchor", 20.0, [12, 15, 21, 24, 30])
    rows += curve("less", 16.0, [12, 15, 18, 27, 30])
    rows += curve("more", 50.0, [15, 18, 24, 27])
    table = bd_table(frame_of(rows), {"psnr": True, "error": False}, ["anchor"])
    assert list(table.columns) == list(bd_module.COLUMNS)
    assert table[["family", "metric"]].to_numpy().tolist() == [
        ["less", "psnr"],
        ["less", "error"],
        ["more", "psnr"],
        ["more", "error"],
    ]
    expected = [-0.2, -0.2, 1.5, 1.5]
    for name in ("bd_rate", "lo", "hi"):
        assert table[name].tolist() == pytest.approx(expected, abs=1e-12)
    assert table["overlap"].tolist() == pytest.approx([1, 1, 12 / 18, 12 / 18])
    assert table["points"].tolist() == [5, 5, 4, 4]
    assert set(table["anchor_points"]) == {5}
    assert set(table["note"]) == {""}


def test_rates_are_averaged_over_images_before_they_are_compared() -> None:
    rows = curve("anchor", 20.0, [12, 15, 21, 30], "abcd")
    rows += curve("codec", 20.0, [12, 15, 21, 30], "ab")
    rows += curve("codec", 60.0, [12, 15, 21, 30], "cd")
    found = bd_table(frame_of(rows), {"psnr": True}, ["anchor"], resamples=200).iloc[0]
    # Twice the mean bits; the mean of the logarithms would say sqrt(3).
    assert found["bd_rate"] == pytest.approx(1.0)
    assert -1 < found["lo"] < 0.3
    assert found["hi"] > 2.5


@pytest.mark.parametrize(
    ("qualities", "overlap", "note"),
    [
        ([33, 36, 39, 42], 0.0, "the curves do not overlap"),
        ([24, 27, 33, 42], 6 / 30, "overlap 0.200 is below 0.25"),
        ([21, 24, 30, 36], 9 / 24, ""),
    ],
)
def test_overlap(qualities: list[float], overlap: float, note: str) -> None:
    rows = curve("anchor", 20.0, [12, 15, 21, 30]) + curve("codec", 10.0, qualities)
    found = bd_table(frame_of(rows), {"psnr": True}, ["anchor"]).iloc[0]
    assert found["overlap"] == pytest.approx(overlap)
    assert found["note"] == note
    if note:
        assert found[["bd_rate", "lo", "hi"]].isna().all()
    else:
        assert found["bd_rate"] == pytest.approx(-0.5)


def test_the_range_and_the_points_behind_a_value() -> None:
    rows = curve("anchor", 20.0, [12, 15, 21, 30, 33])
    # At 27 a point that costs as much as the better one at 30: not optimal.
    rows += curve("codec", 10.0, [18, 24, 30, 39, 42]) + curve("codec", 20.0, [27])
    rows += curve("far", 10.0, [36, 39])
    table = bd_table(frame_of(rows), {"psnr": True, "error": False}, ["anchor"])
    old = [name for name in table.columns if name not in RANGE]
    assert tuple(table.columns) == (*old, *RANGE)  # readers of the older columns find them
    first, lower, far, _ = table.to_dict("records")
    assert (first["quality_low"], first["quality_high"]) == (18, 33)
    assert (lower["quality_low"], lower["quality_high"]) == (67, 82)
    for found in (first, lower):
        # The range ends at the anchor's last point, and the codec's curve reaches it before 39.
        assert found["specs"] == " ".join(f"codec:quality={q}" for q in (18, 24, 30, 39))
        assert found["anchor_specs"] == " ".join(f"anchor:quality={q}" for q in (15, 21, 30, 33))
    assert np.isnan(far["quality_low"])
    assert pd.isna(far["specs"])


def test_few_points_are_said_and_one_point_has_no_value() -> None:
    rows = curve("anchor", 20.0, [12, 15, 21]) + curve("one", 10.0, [15])
    rows += curve("two", 10.0, [12, 21])
    table = bd_table(frame_of(rows), {"psnr": True}, ["anchor"]).set_index("family")
    assert table.loc["two", "bd_rate"] == pytest.approx(-0.5)
    assert table.loc["two", "note"] == "2 Pareto points; anchor: 3 Pareto points"
    assert np.isnan(table.loc["one", "bd_rate"])
    assert table.loc["one", "note"] == "1 Pareto point; anchor: 3 Pareto points"


def test_who_has_rows() -> None:
    frame = pd.concat([photos({"a": 1.0, "b": 1.1}), photos({"png": 40.0}, points=1)])
    lossless = frame["family"] == "png"
    frame.loc[lossless, "psnr"] = np.inf
    frame.loc[lossless, "lpips"] = 0.0
    gone = photos({"gone": 1.0}, points=1).assign(status="crashed", bytes=pd.NA, bpp=np.nan)
    frame = pd.concat([frame, gone.assign(psnr=np.nan, lpips=np.nan)]).assign(never=np.nan)
    metrics = {"psnr": True, "lpips": False, "never": True}
    table = bd_table(frame, metrics, ["a", "b", "absent"])
    pairs = table[table["metric"] == "psnr"][["family", "anchor"]].to_numpy().tolist()
    # Nothing against itself, against an anchor without a row on the data set, and for the lossless
    # codec; what failed has rows that say so.
    assert pairs == [
        ["a", "b"],
        ["b", "a"],
        ["gone", "a"],
        ["gone", "b"],
    ]
    assert set(table["metric"]) == {"psnr", "lpips"}
    gone_rows = table[(table["family"] == "gone") & (table["anchor"] == "a")]
    assert set(gone_rows["note"]) == {"0 Pareto points"}
    assert gone_rows["bd_rate"].isna().all()


def test_a_point_that_is_lossless_on_one_image_stays_in_the_curve_without_that_image() -> None:
    frame = photos({"a": 1.0, "b": 1.1}, points=6)
    without = bd_table(frame[frame["image"] != "i000"], {"psnr": True}, ["a"])
    frame.loc[frame["codec"].eq("b:quality=5") & frame["image"].eq("i000"), "psnr"] = np.inf
    found = bd_table(frame, {"psnr": True}, ["a"])
    pd.testing.assert_frame_equal(found, without)
    assert found[["points", "images"]].to_numpy().tolist() == [[6, 5]]


def test_a_string_that_is_lossless_on_most_images_is_no_point_of_the_curve() -> None:
    frame = photos({"a": 1.0, "b": 1.1}, points=6)
    without = bd_table(frame[~frame["codec"].eq("b:quality=5")], {"psnr": True}, ["a"])
    frame.loc[frame["codec"].eq("b:quality=5") & frame["image"].ne("i000"), "psnr"] = np.inf
    pd.testing.assert_frame_equal(bd_table(frame, {"psnr": True}, ["a"]), without)


def test_a_dominated_point_does_not_change_the_curve() -> None:
    frame = photos({"a": 1.0, "b": 1.1})
    plain = bd_table(frame, {"psnr": True}, ["a"])
    half = frame[frame["codec"].eq("b:quality=2")].assign(codec="b:scale=0.5")
    half = half.assign(psnr=half["psnr"] - 1.0)
    pd.testing.assert_frame_equal(bd_table(pd.concat([frame, half]), {"psnr": True}, ["a"]), plain)
    # A point above the curve must change it.
    above = half.assign(psnr=half["psnr"] + 2.0)
    better = bd_table(pd.concat([frame, above]), {"psnr": True}, ["a"])
    assert better.loc[0, "bd_rate"] < plain.loc[0, "bd_rate"] - 0.02


@given(st.integers(2, 9), st.integers(0, 99))
def test_scaling_the_files_scales_the_bd_rate(factor: int, seed: int) -> None:
    frame = photos({"a": 1.0, "b": 1.2}, seed=seed)
    metrics = {"psnr": True, "lpips": False}
    plain = bd_table(frame, metrics, ["a"])
    larger = frame.copy()
    larger.loc[larger["family"] == "b", ["bytes", "bpp"]] *= factor
    scaled = bd_table(larger, metrics, ["a"])
    assert plain["bd_rate"].notna().all()
    assert ((plain["lo"] <= plain["bd_rate"]) & (plain["bd_rate"] <= plain["hi"])).all()
    for name in ("bd_rate", "lo", "hi"):
        assert (1 + scaled[name]).tolist() == pytest.approx((factor * (1 + plain[name])).tolist())


@given(st.integers(0, 999), st.integers(3, 9))
def test_a_twin_of_the_anchor_is_exactly_zero(seed: int, images: int) -> None:
    frame = photos({"a": 1.0, "b": 1.2}, images=images, seed=seed)
    twin = frame[frame["family"] == "a"].assign(family="twin")
    twin["codec"] = twin["codec"].str.replace("a:", "z:")
    table = bd_table(pd.concat([frame, twin]), {"psnr": True, "lpips": False}, ["a"])
    rows = table[table["family"] == "twin"]
    assert len(rows) == 2
    assert (rows[["bd_rate", "lo", "hi"]] == 0.0).all(axis=None)
    assert (rows["overlap"] == 1.0).all()


def _front(rate: np.ndarray, quality: np.ndarray) -> list[tuple[float, float]]:
    """Pareto-optimal points by comparing all pairs."""
    points = sorted(set(zip(rate.tolist(), quality.tolist(), strict=True)))
    return [
        (r, q)
        for r, q in points
        if not any(s <= r and p >= q and (s, p) != (r, q) for s, p in points)
    ]


def test_curves_agree_with_the_bjontegaard_package() -> None:
    from bjontegaard import bd_rate

    generator = np.random.default_rng(3)
    values = []
    for points in (3, 4, 6, 9):
        # Steps of a half make ties in rate and quality common.
        rate = generator.integers(1, 30, (2, 60, points)) / 2
        quality = np.round(rate + generator.normal(0, 3, rate.shape)) / 2
        test, anchor = fit(rate[0], quality[0]), fit(rate[1], quality[1])
        ours = rate_change(test, anchor, 0.0)
        for number in range(60):
            fronts = [_front(rate[side, number], quality[side, number]) for side in (0, 1)]
            found = pareto(rate[0, number : number + 1], quality[0, number : number + 1])
            assert [*zip(*(c[0, : found[2][0]] for c in found[:2]), strict=True)] == fronts[0]
            low, high, overlap = (float(c[number]) for c in common_interval(test, anchor))
            if min(map(len, fronts)) < 2 or low >= high:
                assert np.isnan(ours[number])
                continue
            assert 0 < overlap <= 1
            arrays = [np.array(axis) for front in fronts[::-1] for axis in zip(*front, strict=True)]
            expected = bd_rate(
                *arrays, method="pchip", require_matching_points=False, min_overlap=0
            )
            assert 1 + ours[number] == pytest.approx(1 + expected / 100, rel=1e-9)
            values.append(expected)
            assert np.isnan(rate_change(test, anchor, 0.4)[number]) == (overlap < 0.4)
    assert len(values) > 120
    assert np.ptp(values) > 50


def test_the_bd_interval_is_that_of_a_plain_loop() -> None:
    from bjontegaard import bd_rate

    frame = photos({"a": 1.0, "b": 1.3}, images=5)
    table = bd_table(frame, {"lpips": False}, ["a"], resamples=20, seed=7)
    images = sorted(set(frame["image"]))
    logs = []
    draws = [list(draw) for draw in resample_indices(5, 20, seed=7, dataset="photos")]
    # Of five images each is a group of the jackknife.
    for draw in [[0, 1, 2, 3, 4], *draws, *([m for m in range(5) if m != n] for n in range(5))]:
        arrays = []
        for family in ("a", "b"):
            part = frame[frame["family"] == family].set_index("image")
            drawn = pd.concat([part.loc[[images[number]]] for number in draw])
            means = drawn.groupby("codec")[["bpp", "lpips"]].mean().sort_values("bpp")
            assert means["lpips"].is_monotonic_decreasing
            arrays += [means["bpp"].to_numpy(), -means["lpips"].to_numpy()]
        logs.append(np.log1p(bd_rate(*arrays, method="pchip", min_overlap=0) / 100))
    value, drawn, deleted = logs[0], logs[1:21], logs[21:]
    centre = value - (np.mean(drawn) - value)
    error = np.sqrt(4 / 5 * np.sum((deleted - np.mean(deleted)) ** 2))
    stretch = error / np.std(drawn, ddof=1) * 2.776445 / 1.959964  # t with 4 degrees of freedom
    # Of 20 draws the 95 % percentile interval, rounded outwards, is the whole range.
    for name, end in (("lo", min(drawn)), ("hi", max(drawn))):
        expected = np.expm1(centre + stretch * (end - np.mean(drawn)))
        assert table.loc[0, name] == pytest.approx(expected, rel=1e-6)
    assert table.loc[0, "failed_resamples"] == 0


def test_no_interval_where_most_draws_have_no_value() -> None:
    # On images a and b the codec is 12 dB below the anchor, on c and d above; together they meet.
    rows = []
    for image, codec, anchor in (("a", 12, 24), ("b", 12, 24), ("c", 24, 12), ("d", 24, 12)):
        rows += [
            row(image, family, number, 1000 * 2**number, psnr=low + 3.0 * number)
            for family, low in (("codec", codec), ("anchor", anchor))
            for number in range(4)
        ]
    found = bd_table(frame_of(rows), {"psnr": True}, ["anchor"]).iloc[0]
    assert found["bd_rate"] == pytest.approx(0.0)
    assert np.isnan(found["lo"])
    assert np.isnan(found["hi"])
    assert found["note"].startswith("no interval: ")
    draws = resample_indices(4, 40, seed=1, dataset="photos")
    # Three to one, the curves are 6 dB apart: 3 of 15 dB in common are less than a quarter.
    missing = int(((draws < 2).sum(axis=1) != 2).sum())
    assert found["note"] == f"no interval: {missing} of 40 resamples give no value"
    assert found["failed_resamples"] == missing


def test_an_interval_of_the_rest_where_few_draws_have_no_value() -> None:
    frame = photos({"a": 1.0, "b": 1.3}, images=6, points=5)
    plain = bd_table(frame, {"psnr": True}, ["a"], resamples=200).iloc[0]
    # The curves share 0.988 of their range, some draws less than 0.95.
    rates = bd_table(frame, {"psnr": True}, ["a"], resamples=200, min_overlap=0.95)
    found = rates.iloc[0]
    failed = found["failed_resamples"]
    assert 0 < failed <= 20
    assert found["note"] == (
        f"interval of {200 - failed} of 200 resamples: the others give no value"
    )
    assert found["lo"] < found["bd_rate"] < found["hi"]
    assert found["bd_rate"] == plain["bd_rate"]
    assert plain["failed_resamples"] == 0


def test_an_undefined_metric_takes_rate_and_quality_from_the_same_images() -> None:
    rows = curve("anchor", 20.0, [12, 15, 21, 30], "abcd")
    rows += curve("codec", 10.0, [12, 15, 21, 30], "abc")
    # On the last image one metric is undefined and the codec a hundred times larger.
    rows += curve("codec", 2000.0, [12, 15, 21, 30], "d")
    frame = frame_of(rows)
    frame.loc[frame["image"] == "d", "psnr"] = np.nan
    table = bd_table(frame, {"psnr": True, "error": False}, ["anchor"])
    # The other metric is over the same three images.
    assert table["bd_rate"].tolist() == pytest.approx([-0.5, -0.5])
    assert table["images"].tolist() == [3, 3]
    assert set(table["note"]) == {""}


def test_coverage_of_the_bd_rate() -> None:
    generator = np.random.default_rng(11)
    hits, widths = 0, []
    for trial in range(80):
        rows = []
        for image in range(25):
            for family, factor in (("anchor", 1.0), ("codec", 0.8)):
                # One factor an image and family: the true ratio of mean rates stays 0.8.
                own = factor * generator.lognormal(0, 0.3)
                rows += [
                    row(f"{image}", family, q, round(1e6 * own * 2**q), psnr=30.0 + 3 * q)
                    for q in range(4)
                ]
        found = bd_table(frame_of(rows), {"psnr": True}, ["anchor"], resamples=200, seed=trial)
        lo, hi = found.loc[0, "lo"], found.loc[0, "hi"]
        hits += lo <= -0.2 <= hi
        widths.append(hi - lo)
    assert 0.86 <= hits / 80 <= 0.99
    # Delta method: 2·1.96·0.8·sqrt(2/25)·0.3, lognormal variance nearly 0.3².
    assert np.mean(widths) == pytest.approx(2 * 1.96 * 0.8 * np.sqrt(2 / 25) * 0.3, rel=0.15)


# --- timing, jobs, failures ----------------------------------------------------------------


def timed(
    stage: str, codec: str, seconds: list[float], **values: object
) -> list[dict[str, object]]:
    base = {"stage": stage, "dataset": "photos", "family": "mpd", "codec": codec, "start_s": 2.0}
    return [
        base
        | {"image": f"i{n}", "pixels": 250000 * (n + 1), "device": "cpu", "seconds": s}
        | values
        for n, s in enumerate(seconds)
    ]


def test_timing_by_hand() -> None:
    parts = timed("encode", "mpd", [5.0, 1.0, 3.0], start_s=4.0)
    parts += timed("decode", "mpd:state=3", [0.3, 0.1, 0.2])
    parts += timed("decode", "mpd:state=1", [1.0, 2.0, np.nan])
    parts += timed("decode", "mpd:state=1", [0.5], device="cuda")
    owner = {"mpd:state=1": "mpd", "mpd:state=3": "mpd"}
    table = timing_table(pd.DataFrame(parts).sample(frac=1, random_state=1), owner)
    assert ",".join(table.columns) == (
        "codec,device,images,encode_s,encode_s_spread,decode_s,decode_s_spread,"
        "dataset,family,megapixels,encode_start_s,decode_start_s"
    )
    assert table[["codec", "device"]].to_numpy().tolist() == [
        ["mpd:state=1", "cpu"],
        ["mpd:state=1", "cuda"],
        ["mpd:state=3", "cpu"],
    ]
    # The one encoding belongs to every string of the embedded codec, on the device it ran on.
    third = table.iloc[2]
    assert third[["encode_s", "encode_s_spread"]].tolist() == [3.0, 2.0]
    assert third[["decode_s", "decode_s_spread"]].tolist() == pytest.approx([0.2, 0.1])
    assert third[["encode_start_s", "decode_start_s", "megapixels"]].tolist() == [4.0, 2.0, 0.5]
    assert table.loc[0, "encode_s"] == 3.0
    assert table.loc[0, ["decode_s", "decode_s_spread"]].tolist() == [1.5, 0.5]
    assert np.isnan(table.loc[1, "encode_s"])
    assert list(table["images"]) == [3, 1, 3]


def test_timing_of_what_was_never_decoded_and_of_strangers() -> None:
    parts = pd.DataFrame(timed("encode", "mpd", [5.0]))
    table = timing_table(parts, {})
    assert table.loc[0, "codec"] == "mpd"
    assert np.isnan(table.loc[0, "decode_s"])
    with pytest.raises(MeasurementError, match="encoding is not known"):
        timing_table(pd.DataFrame(timed("decode", "mpd:state=1", [5.0])), {})
    with pytest.raises(MeasurementError, match="timed twice"):
        timing_table(pd.concat([parts, parts]), {})
    with pytest.raises(MeasurementError, match="stage is"):
        timing_table(parts.assign(stage="train"), {})


def test_timing_rows_are_in_the_order_of_their_numbers() -> None:
    wanted = ["mpd:state=8", "mpd:state=8,tail=0.5", "mpd:state=8,tail=10", "mpd:state=62",
              "mpd:state=100"]  # fmt: skip
    parts = [part for codec in sorted(wanted) for part in timed("decode", codec, [1.0])]
    table = timing_table(pd.DataFrame(parts), dict.fromkeys(wanted, "mpd"))
    assert list(table["codec"]) == wanted


@given(st.lists(st.text("ab=0129.-", max_size=6), max_size=8))
def test_natural_keys_are_comparable_and_distinct(texts: list[str]) -> None:
    ordered = sorted(texts, key=natural_key)
    for one, other in pairwise(ordered):
        assert natural_key(one) <= natural_key(other)
    assert len({natural_key(text) for text in texts}) == len(set(texts))


def test_encodings() -> None:
    frame = pd.DataFrame({"codec": ["m:s=1", "m:s=2", "m:s=1"], "encoding": ["m", "m", "m"]})
    assert encodings(frame) == {"m:s=1": "m", "m:s=2": "m"}
    with pytest.raises(MeasurementError, match="two encodings"):
        encodings(frame.assign(encoding=["m", "m", "n"]))


def test_jobs(tmp_path: Path) -> None:
    from snakemake.benchmark import BenchmarkRecord

    def record(**values: object) -> BenchmarkRecord:
        made = BenchmarkRecord(wildcards={}, params={}, threads=1, input=[], **values)
        # As Snakemake sets them once a job has run.
        made.wildcards, made.params, made.resources = {}, {"text": "a\tb"}, values["resources"]
        made.data_collected = "max_rss" in values
        return made

    asked = {"mem_mb": 600, "runtime": 10, "gpu": 1}
    long = record(running_time=12.5, max_rss=300.25, cpu_time=12.0, resources=asked)
    small = record(running_time=1.0, max_rss=200.0, cpu_time=0.5, resources={"mem_mb": 250})
    short = record(running_time=0.25, resources={"mem_mb": 100, "runtime": 1})

    def write(name: str, *records: BenchmarkRecord, extended: bool = True) -> Path:
        lines = ["\t".join(BenchmarkRecord.get_header(extended))]
        path = tmp_path / "benchmarks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([*lines, *(r.to_tsv(extended) for r in records)]) + "\n")
        return path

    assert "NA" in short.to_tsv(False)
    logs = tmp_path / "logs"
    for name, host in (("encode/a", "n2"), ("encode/b", "n1"), ("encode/d", "n1")):
        (logs / "encode").mkdir(parents=True, exist_ok=True)
        (logs / f"{name}.log").write_text(
            f"2026-01-01 INFO start on {host}, Slurm job 7\nstart on x"
        )
    with open(logs / "encode" / "b.log", "a", encoding="utf-8") as log:
        log.write(f"\n2026-01-01 WARNING {UNUSED}, networks run on the CPU: old driver\n")
    benchmarks = [
        ("encode", write("encode/b.tsv", short)),
        ("encode", write("encode/d.tsv", short)),
        ("encode", write("encode/a.tsv", long, small)),
        ("collect", write("collect/all.tsv", short, extended=False)),
    ]
    table = jobs_table([(rule, path, log_of(rule, path, logs)) for rule, path in benchmarks])
    assert log_of(*benchmarks[-1], logs) == logs / "collect.log"
    row = table.set_index("rule").loc["encode"]
    assert row[["jobs", "seconds", "longest_s", "max_mb"]].tolist() == [4, 14.0, 12.5, 300.25]
    assert row[["asked_mb", "asked_min", "gpus", "cpu_s"]].tolist() == [600, 10, 1, 12.5]
    assert row["memory_used"] == 0.8  # of the small one: what matters is the nearest to its limit
    assert row["time_used"] == pytest.approx(12.5 / 600)
    assert row[["hosts", "gpu_unused"]].tolist() == ["n1 n2", 1]
    plain = table.set_index("rule").loc["collect"]
    assert plain[["jobs", "seconds"]].tolist() == [1, 0.25]
    assert plain[["max_mb", "asked_mb", "memory_used", "gpus"]].isna().all()
    assert plain["hosts"] == ""
    header = "\t".join(BenchmarkRecord.get_header())
    (tmp_path / "dash").write_text(header + "\n" + "\t".join(["7.0"] + ["-"] * 9) + "\n")
    assert jobs_table([("r", tmp_path / "dash", None)])["seconds"].tolist() == [7.0]


@pytest.mark.parametrize(
    "text", ["", "s\tmax_rss\n", "s\tmax_rss\n1.0\n", "s\n1.0\n", "s\tmax_rss\nx\t1\n"]
)
def test_broken_benchmarks_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "bench.tsv").write_text(text)
    with pytest.raises(MeasurementError, match=r"bench\.tsv"):
        jobs_table([("r", tmp_path / "bench.tsv", None)])


def test_failures() -> None:
    rows = [failed("z", "b", 1, "timeout") | {"detail": "later"}]
    rows += [failed("y", "b", 1, "timeout") | {"detail": "after\n  60 s"}]
    rows += [failed("x", "b", 1, "crashed"), row("w", "b", 1, 1000)]
    rows += [row(image, "a", 1, 1000) for image in "xyz"]
    table = failures_table(frame_of(rows))
    assert table.to_numpy().tolist() == [
        ["photos", "a", "a:quality=1", "missing", 1, "w", "no row"],
        ["photos", "b", "b:quality=1", "crashed", 1, "x", ""],
        ["photos", "b", "b:quality=1", "timeout", 2, "y", "after 60 s"],
    ]
    refused = [("photos", "q", "not an\nimage"), ("other", "p", "truncated")]
    more = failures_table(frame_of(rows), refused)
    assert more.to_numpy().tolist()[:2] == [
        ["other", "", "", "refused", 1, "p", "truncated"],
        ["photos", "", "", "refused", 1, "q", "not an image"],
    ]
    pd.testing.assert_frame_equal(more.iloc[2:].reset_index(drop=True), table)
    # All images refused: there is not one measurement.
    assert len(failures_table(frame_of(rows).iloc[:0], refused)) == 2
    fine = failures_table(frame_of([row("w", "b", 1, 1000)]))
    assert fine.empty
    assert list(fine.columns)[:4] == ["dataset", "family", "codec", "status"]


# --- versions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("libjxl", "libjxl 0.11.2", "0.11.2"),
        ("x265", "x265 HEVC encoder (4.3+1-e9b8812)", "4.3+1-e9b8812"),
        ("openjpeg", "2.5.4", "2.5.4"),
        ("x265", "absent", "absent"),
    ],
)
def test_bare_version(name: str, text: str, expected: str) -> None:
    assert bare_version(name, text) == expected


def test_codecs_table_names_every_library_once() -> None:
    table = codecs_table({"codecs": {"jxl": {}, "mine": {"codec": "heic"}}})
    assert list(table.columns) == ["family", "weights", "settings", "versions"]
    assert list(table["family"]) == ["jxl", "mine"]
    for version in coder_versions().values():
        assert version == "None" or version[0].isdigit()
    assert table.loc[0, "versions"].count("libjxl") == 1
    assert table.loc[1, "versions"].count("x265") == 1


def test_codecs_table_states_the_keys_of_an_entry() -> None:
    """Those that all of its points share; not the key of the rate, nor one that some points set."""
    fixed = {"chroma": 444, "speed": [2]}
    grids = [{"quality": [5, 9], **fixed, "depth": 10}, {"quality": 5, **fixed, "scale": 0.5}]
    entries = {"slow": {"codec": "avif", "points": grids}, "jpeg": {"points": [{"quality": 5}]}}
    jpeg, slow = codecs_table({"codecs": entries})["settings"]
    assert slow == codec_class("avif").settings + "; in this entry: chroma 444, speed 2"
    assert jpeg == codec_class("jpeg").settings


# --- files ---------------------------------------------------------------------------------


def test_csv_bytes(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "codec": ["a:q=1,s=2", 'say "x"', "é"],
            "n": pd.array([1, None, 12345678], dtype="Int64"),
            "value": [1 / 3, float("inf"), -0.0],
            "other": [np.nan, 123456.789, -1e-9],
        }
    )
    write_csv(frame, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_bytes().decode() == (
        "codec,n,value,other\n"
        '"a:q=1,s=2",1,0.333333,\n'
        '"say ""x""",,inf,123457\n'
        "é,12345678,0,-1e-09\n"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]
    back = pd.read_csv(tmp_path / "t.csv")
    assert np.isinf(back.loc[1, "value"])


def test_csv_keeps_the_old_file_on_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "t.csv"
    write_csv(pd.DataFrame({"a": [1]}), target)

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        write_csv(pd.DataFrame({"a": [2]}), target)
    assert target.read_text() == "a\n1\n"
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


FRESH = """
import sys
import pandas as pd
from icmbench.reporting.tables.bd_rate import bd_rate_table
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.reporting.tables.rd import rd_table
frame = pd.read_parquet(sys.argv[1])
options = {"resamples": 50, "seed": 3}
write_csv(rd_table(frame, ["psnr", "lpips"], **options), sys.argv[2] + "/rd.csv")
metrics = {"psnr": True, "lpips": False}
write_csv(bd_rate_table(frame, metrics, ["a"], **options), sys.argv[2] + "/bd_rate.csv")
"""


def test_csvs_are_byte_identical_between_processes(tmp_path: Path) -> None:
    frame = photos({"a": 1.0, "b": 1.2, "c": 0.7})
    written = []
    for number in (1, 2):
        shards, out = tmp_path / f"in{number}.parquet", tmp_path / f"out{number}"
        frame.sample(frac=1, random_state=number).to_parquet(shards)
        environment = os.environ | {"PYTHONHASHSEED": str(number)}
        command = [sys.executable, "-c", FRESH, str(shards), str(out)]
        root = Path(__file__).resolve().parents[1]
        subprocess.run(command, check=True, env=environment, cwd=root)
        written.append([(out / name).read_bytes() for name in ("rd.csv", "bd_rate.csv")])
    assert written[0] == written[1]
    assert len(written[0][0].splitlines()) == 16
    assert len(written[0][1].splitlines()) == 5
