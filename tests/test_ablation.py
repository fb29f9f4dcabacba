"""The ablation table and the sweep of feature weights: hand values, planted shifts, figures."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.interpolate import PchipInterpolator

from icmbench.core.errors import MeasurementError
from icmbench.jobs import ablation as jobs
from icmbench.jobs.alpha_sweep import alpha_sweep
from icmbench.metrics import METRICS
from icmbench.reporting.figures.ablation import ablation_figure
from icmbench.reporting.figures.sweep import sweep_figure
from icmbench.reporting.tables import ablation
from icmbench.reporting.tables.alpha_sweep import alpha_sweep_table, chosen_weight, sweep_rows
from icmbench.reporting.tables.csv_files import write_csv

pytestmark = pytest.mark.usefixtures("no_formulas", "warnings_are_errors")

PIXELS = 1000
PSNR = {"psnr_rgb": True}
WITHOUT = {"features": "no-features"}


def row(image: str, family: str, size: int, dataset: str = "photos", **values: float) -> dict:
    """One ok measurement of `size` bytes: size / 125 bits per pixel."""
    return {
        "dataset": dataset, "image": image, "family": family, "codec": f"{family}:size={size}",
        "bytes": size, "width": 50, "height": 20, "bpp": 8 * size / PIXELS, "status": "ok",
    } | values  # fmt: skip


def failed(image: str, family: str, size: int) -> dict:
    return row(image, family, size) | {"status": "timeout", "bytes": pd.NA, "bpp": np.nan}


def frame_of(rows: list[dict]) -> pd.DataFrame:
    return pd.DataFrame(rows).astype({"bytes": "Int64"})


def table_of(
    rows: list[dict] | pd.DataFrame,
    metrics: Mapping[str, bool] = PSNR,
    without: Mapping[str, str] = WITHOUT,
    rates: tuple[float, ...] = (2.0,),
    **options: Any,
) -> pd.DataFrame:
    frame = rows if isinstance(rows, pd.DataFrame) else frame_of(rows)
    options = {"resamples": 200, "seed": 1} | options
    return ablation.ablation_table(frame, metrics, "mpd", without, rates, **options)


def planted(
    shifts: Mapping[str, float], images: int = 20, spread: float = 5.0, noise: float = 0.0
) -> pd.DataFrame:
    """Curves psnr = 30 + 6 log2(bpp) + offset of the image + shift of the family + noise."""
    generator = np.random.default_rng(3)
    offsets = generator.normal(0, spread, images)
    rows = []
    for (family, shift), image in itertools.product(shifts.items(), range(images)):
        own = shift + noise * generator.normal()
        # Different rates for every family and image: only interpolation compares them.
        for point in range(6):
            size = int(40 * 2**point * generator.uniform(1.0, 1.6))
            psnr = 30 + 6 * math.log2(8 * size / PIXELS) + offsets[image] + own
            measured = row(f"i{image:02}", family, size, psnr_rgb=psnr, gmsd=1 - psnr / 100)
            rows.append(measured | {"codec": f"{family}:point={point}"})
    return frame_of(rows)


# --- the table -----------------------------------------------------------------------------


def test_by_hand_halfway_in_log_rate() -> None:
    """Two points are a straight line over log rate: 1 and 4 bpp meet in the middle at 2."""
    rows = []
    for number, image in enumerate("abc"):
        for size, psnr in ((125, 30.0), (500, 40.0)):
            rows.append(row(image, "mpd", size, psnr_rgb=psnr + number))
            rows.append(row(image, "no-features", size, psnr_rgb=psnr + number - 1 - number))
    table = table_of(rows)
    assert list(table.columns) == list(ablation.COLUMNS)
    assert len(table) == 1
    only = table.iloc[0]
    assert only["dataset":"metric"].tolist() == ["photos", "features", "no-features", "psnr_rgb"]
    # Full: 35, 36, 37; variant: 34 each. Changes -1, -2, -3.
    assert only[["bpp", "full", "value", "change"]].tolist() == pytest.approx([2, 36, 34, -2])
    assert only[["lo", "hi"]].tolist() == pytest.approx([-3, -1])
    assert only[["images", "left_out", "note"]].tolist() == [3, 0, ""]


def test_between_points_it_is_pchip_over_log_rate_and_at_points_the_measurement() -> None:
    sizes, psnr = np.array([100, 150, 400, 900]), np.array([25.0, 31.0, 33.0, 41.5])
    rows = [
        row(image, family, int(size), psnr_rgb=value)
        for image in "abc"
        for family, shift in (("mpd", 0.0), ("no-features", 2.0))
        for size, value in zip(sizes, psnr + shift, strict=True)
    ]
    # A point that costs more and is worse belongs to no curve.
    rows += [row(image, "mpd", 300, psnr_rgb=26.0) for image in "abc"]
    bpp = 8 * sizes / PIXELS
    rates = (*bpp, 0.9, 2.0, 5.5)
    table = table_of(rows, rates=rates)
    assert table["bpp"].tolist() == sorted(rates)
    expected = PchipInterpolator(np.log(bpp), psnr)(np.log(np.sort(rates)))
    assert table["full"].to_numpy() == pytest.approx(expected, abs=1e-9)
    assert table["change"].to_numpy() == pytest.approx(2.0, abs=1e-9)
    exact = table[table["bpp"].isin(bpp)]
    assert exact["full"].to_numpy() == pytest.approx(psnr, abs=1e-12)
    # The ends of a curve belong to it.
    assert (table["images"] == 3).all()


@pytest.mark.parametrize("shift", [-0.8, 0.0, 0.3])
def test_a_planted_shift_is_found_with_its_sign(shift: float) -> None:
    """In psnr, where higher is better, and in gmsd, where the same shift has the other sign."""
    measured = planted({"mpd": 0.0, "no-features": shift}, images=30, noise=0.1)
    table = table_of(measured, {"psnr_rgb": True, "gmsd": False}, rates=(1.0, 3.0))
    assert table["metric"].tolist() == ["psnr_rgb", "psnr_rgb", "gmsd", "gmsd"]
    expected = np.array([shift, shift, -shift / 100, -shift / 100])
    scale = np.array([1, 1, 0.01, 0.01])
    assert (np.abs(table["change"] - expected) < 0.1 * scale).all()
    assert (table["hi"] - table["lo"] < 0.2 * scale).all()
    if shift:
        assert (np.sign(table["lo"]) == np.sign(expected)).all()
        assert (np.sign(table["hi"]) == np.sign(expected)).all()
    else:
        assert ((table["lo"] < 0) & (table["hi"] > 0)).all()
    assert (table["value"] - table["full"]).to_numpy() == pytest.approx(table["change"])


def test_what_images_share_does_not_widen_the_interval() -> None:
    shifts = {"mpd": 0.0, "no-features": -0.5}
    narrow = table_of(planted(shifts, spread=0.0, noise=0.1)).iloc[0]
    wide = table_of(planted(shifts, spread=50.0, noise=0.1)).iloc[0]
    assert wide[["change", "lo", "hi"]].tolist() == pytest.approx(
        narrow[["change", "lo", "hi"]].tolist(), abs=1e-9
    )
    assert narrow["hi"] - narrow["lo"] > 0.03
    assert abs(wide["full"] - narrow["full"]) > 1


def test_variants_see_the_same_draws_even_with_different_images() -> None:
    measured = planted({"mpd": 0.0, "no-features": 0.0}, noise=0.3)
    variant = measured["family"] == "no-features"
    twin = measured[variant].assign(family="no-rdo", psnr_rgb=lambda f: f["psnr_rgb"] - 1.0)
    table = table_of(
        pd.concat([measured, twin.assign(codec="no-rdo:" + twin["codec"])]),
        without={"RDO": "no-rdo", "features": "no-features"},
    )
    assert table["without"].tolist() == ["RDO", "features"]
    rdo, features = table.iloc[0], table.iloc[1]
    for name in ("change", "lo", "hi"):
        assert features[name] - rdo[name] == pytest.approx(1.0, abs=1e-9)


def test_images_that_do_not_reach_the_rate_are_left_out_and_counted() -> None:
    rows = []
    for number, image in enumerate("abcdef"):
        more = 50.0 if number < 2 else 0.0
        points = ((125, 30.0 + more), (500, 40.0 + more))
        rows += [row(image, "mpd", size, psnr_rgb=psnr) for size, psnr in points]
        # The variant ends at 1.6 bpp on a, begins at 2.4 on b; on c, d, e, f it is 1 dB worse.
        sizes = {"a": (125, 200), "b": (300, 500)}.get(image, (125, 500))
        low, high = (29.0, 39.0) if number > 1 else (90.0, 99.0)
        rows += [row(image, "no-features", sizes[0], psnr_rgb=low)]
        rows += [row(image, "no-features", sizes[1], psnr_rgb=high)]
    frame = frame_of(rows)
    # One codec spec for both of a family's points, as a codec has them.
    frame["codec"] = frame["family"] + frame.groupby(["image", "family"]).cumcount().astype(str)
    only = table_of(frame).iloc[0]
    assert only[["images", "left_out", "note"]].tolist() == [4, 2, ""]
    # The full codec is averaged over the same four images, not over all six.
    assert only[["full", "value", "change"]].tolist() == pytest.approx([35, 34, -1])
    assert only[["lo", "hi"]].tolist() == pytest.approx([-1, -1])


def test_a_rate_nobody_reaches_has_an_empty_row_with_its_reason() -> None:
    rows = []
    for image in "abc":
        rows += [row(image, "mpd", size, psnr_rgb=p) for size, p in ((125, 30.0), (500, 40.0))]
        rows += [row(image, "no-features", s, psnr_rgb=p) for s, p in ((125, 30.0), (200, 31.0))]
    table = table_of(rows, rates=(9.0, 2.0, 1.2))
    assert table["bpp"].tolist() == [1.2, 2.0, 9.0]
    assert table["images"].tolist() == [3, 0, 0]
    assert table["left_out"].tolist() == [0, 3, 3]
    assert table.loc[1:, ["full", "value", "change", "lo", "hi"]].isna().all(axis=None)
    assert table["note"].tolist() == [
        "",
        "no image on which no-features can be read off at this rate",
        "no image on which mpd and no-features can be read off at this rate",
    ]


def test_a_worse_point_of_more_rate_does_not_lengthen_the_curve() -> None:
    rows = []
    for image in "abc":
        rows += [row(image, "mpd", size, psnr_rgb=p) for size, p in ((125, 30.0), (500, 40.0))]
        points = ((125, 30.0), (200, 31.0), (500, 20.0))
        rows += [row(image, "no-features", s, psnr_rgb=p) for s, p in points]
    assert table_of(rows)["left_out"].tolist() == [3]


@pytest.mark.parametrize("images", [1, 2, 3])
def test_below_three_images_there_is_no_interval(images: int) -> None:
    measured = planted({"mpd": 0.0, "no-features": -1.0}, images=images)
    only = table_of(measured).iloc[0]
    assert only["change"] == pytest.approx(-1, abs=1e-9)
    assert math.isfinite(only["lo"]) == math.isfinite(only["hi"]) == (images == 3)
    assert only["note"] == ("" if images == 3 else "fewer than 3 images")


def test_few_of_many_images_are_said_to_be_few() -> None:
    rows = []
    for number in range(40):
        image, high = f"i{number:02}", 500 if number < 4 else 200
        for family in ("mpd", "no-features"):
            for point, (size, psnr) in enumerate(((125, 30.0), (high, 40.0))):
                rows.append(row(image, family, size, psnr_rgb=psnr) | {"codec": f"{family}{point}"})
    only = table_of(rows).iloc[0]
    assert (only["images"], only["left_out"]) == (4, 36)
    assert only["note"].startswith("only 4 of 40 images reach this rate; interval is incomplete:")
    rows = [r for r in rows if r["image"] not in {"i03"}]
    # Of three among 39, one draw in twenty holds none; of one, more than a third: no interval.
    assert math.isfinite(table_of(rows)["lo"].iloc[0])
    few = [r for r in rows if r["image"] not in {"i01", "i02"}]
    assert table_of(few)["note"].iloc[0] == (
        "only 1 of 37 images reach this rate; fewer than 3 images"
    )


def test_failures_and_undefined_values_follow_the_comparison_set() -> None:
    rows = []
    for number, image in enumerate("abcde"):
        for family, shift in (("mpd", 0.0), ("no-features", -1.0), ("other", 0.0)):
            for size, psnr in ((125, 30.0), (500, 40.0)):
                # Image a would pull the means away, were it averaged.
                value = psnr + shift + (100.0 if number == 0 and family == "mpd" else 0.0)
                rows.append(row(image, family, size, psnr_rgb=value, none=np.nan))
    # A family that is no part of the ablation failed on a: it goes, as in the BD-rate table.
    rows = [r for r in rows if not (r["image"] == "a" and r["family"] == "other")]
    rows += [failed("a", "other", 125), failed("a", "other", 500)]
    table = table_of(rows, {"psnr_rgb": True, "none": True})
    assert table["metric"].tolist() == ["psnr_rgb"]
    assert table[["change", "images", "left_out"]].iloc[0].tolist() == pytest.approx([-1, 4, 0])
    # Whoever fails too often is excluded himself, and has no value.
    for r in rows:
        if r["family"] == "no-features" and r["bytes"] == 500 and r["image"] in "bc":
            r |= {"status": "crashed", "bpp": np.nan, "bytes": pd.NA, "psnr_rgb": np.nan}
    only = table_of(rows).iloc[0]
    assert (only["images"], only["left_out"]) == (0, 4)
    assert only["note"] == "no image on which no-features can be read off at this rate"


def test_a_data_set_without_the_variant_or_without_images_says_so() -> None:
    rows = []
    for image in "abc":
        for family in ("mpd", "no-features"):
            rows += [row(image, family, s, psnr_rgb=p) for s, p in ((125, 30.0), (500, 40.0))]
        rows += [row(image, "mpd", 125, "a-scenes", psnr_rgb=30.0)]
        rows += [failed(image, f, 125) | {"dataset": "b"} for f in ("mpd", "no-features")]
    table = table_of(rows)
    assert table["dataset"].tolist() == ["a-scenes", "b", "photos"]
    assert table["note"].tolist() == [
        "not measured on this data set: no-features", "no image is compared", "",
    ]  # fmt: skip
    assert table["images"].tolist() == [0, 0, 3]


def test_the_order_of_the_rows_changes_no_byte(tmp_path: Path) -> None:
    measured = planted({"mpd": 0.0, "no-features": -0.4, "no-rdo": 0.2}, noise=0.2)
    measured = pd.concat([measured, measured.assign(dataset="scenes")], ignore_index=True)
    without = {"RDO": "no-rdo", "features": "no-features"}
    texts = set()
    for seed in range(4):
        mixed = measured.sample(frac=1.0, random_state=seed)
        table = table_of(mixed, {"gmsd": False, "psnr_rgb": True}, without, (3.0, 1.0))
        write_csv(table, tmp_path / "t.csv")
        texts.add((tmp_path / "t.csv").read_text())
    assert len(texts) == 1
    keys = table[["dataset", "without", "metric", "bpp"]].apply(tuple, axis=1).tolist()
    assert keys == list(
        itertools.product(
            ("photos", "scenes"), ("RDO", "features"), ("gmsd", "psnr_rgb"), (1.0, 3.0)
        )
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rates": (0.0,)}, "rates"),
        ({"rates": (float("inf"),)}, "rates"),
        ({"rates": (float("nan"),)}, "rates"),
        ({"rates": (1.0, 1.0)}, "rates"),
        ({"rates": ()}, "rates"),
        ({"without": {}}, "nothing"),
        ({"without": {"all": "mpd"}}, "other codec entries"),
        ({"without": {"a": "no-features", "b": "no-features"}}, "other codec entries"),
        ({"without": {"a": "typo"}}, "typo"),
        ({"metrics": {"lpips": False}}, "lpips"),
        ({"resamples": 3}, "resamples"),
        ({"max_failed": 2.0}, "max_failed"),
    ],
)
def test_what_cannot_be_compared_is_an_error(options: dict[str, Any], said: str) -> None:
    with pytest.raises(MeasurementError, match=said):
        table_of(planted({"mpd": 0.0, "no-features": -1.0}, images=3), **options)


# --- the sweep -----------------------------------------------------------------------------

WEIGHTS = {"plain": 0.0, "a05": 0.05, "a10": 0.1}


def bd(dataset: str, metric: str, family: str, value: float, anchor: str = "plain") -> dict:
    return {
        "dataset": dataset, "family": family, "anchor": anchor, "metric": metric,
        "bd_rate": value, "lo": value - 0.01, "hi": value + 0.02, "overlap": 1.0, "images": 9,
        "points": 5, "anchor_points": 5, "note": "",
    }  # fmt: skip


def bd_rows(values: Mapping[tuple[str, str], tuple[float, float]]) -> pd.DataFrame:
    """(data set, metric) -> BD-rates of a05 and a10."""
    rows = []
    for (dataset, metric), pair in values.items():
        rows += [bd(dataset, metric, f, v) for f, v in zip(("a05", "a10"), pair, strict=True)]
    rows += [bd("d", "lpips", "a10", -0.9, anchor="a05"), bd("d", "lpips", "jpeg", -0.9)]
    return pd.DataFrame(rows)


def test_the_sweep_by_hand() -> None:
    table = alpha_sweep_table(bd_rows({("d", "lpips"): (-0.1, -0.04)}), WEIGHTS, "plain")
    assert table.to_dict("list") == {
        "dataset": ["d"] * 3, "metric": ["lpips"] * 3, "alpha": [0.0, 0.05, 0.1],
        "family": ["plain", "a05", "a10"], "bd_rate": [0.0, -0.1, -0.04],
        "lo": [0.0, -0.1 - 0.01, -0.04 - 0.01], "hi": [0.0, -0.1 + 0.02, -0.04 + 0.02],
        "note": ["anchor", "", ""], "chosen": [0, 1, 0],
    }  # fmt: skip
    assert chosen_weight(table) == 0.05


@pytest.mark.parametrize(
    ("values", "chosen"),
    [
        # Means: -0.02 against -0.05, though a05 is best on most.
        ({("d", "x"): (-0.1, -0.09), ("d", "y"): (-0.1, -0.09), ("e", "x"): (0.14, 0.03)}, 0.1),
        # Where one alpha has no value, the pair counts for none.
        ({("d", "x"): (-0.1, -0.2), ("e", "x"): (-0.9, float("nan"))}, 0.1),
        ({("d", "x"): (-0.1, -0.2), ("e", "x"): (-0.9, float("-inf"))}, 0.1),
        # Ties: the smaller one, also in another order of terms, and 0 itself.
        ({("d", "x"): (-0.1, -0.3), ("e", "x"): (-0.3, -0.1), ("e", "y"): (-0.2, -0.2)}, 0.05),
        ({("d", "x"): (0.0, 0.0)}, 0.0),
        ({("d", "x"): (0.1, 0.2)}, 0.0),
    ],
)
def test_the_least_mean_is_chosen(values: dict, chosen: float) -> None:
    rows = bd_rows(values)
    tables = [
        alpha_sweep_table(rows.sample(frac=1.0, random_state=seed), WEIGHTS, "plain")
        for seed in range(3)
    ]
    for table in tables:
        assert chosen_weight(table) == chosen
        assert ((table["chosen"] == 1) == (table["alpha"] == chosen)).all()
        pd.testing.assert_frame_equal(table, tables[0])


def test_a_weight_without_a_value_keeps_its_row() -> None:
    rows = bd_rows({("d", "x"): (-0.1, -0.2), ("e", "x"): (-0.3, float("nan"))})
    rows = pd.concat([rows, pd.DataFrame([bd("f", "x", "a05", float("nan"))])])
    rows.loc[rows["bd_rate"].isna(), "note"] = "the curves do not overlap"
    table = alpha_sweep_table(rows, WEIGHTS, "plain").set_index(["dataset", "alpha"])
    assert table.loc[("e", 0.1), "note"] == "the curves do not overlap"
    assert table.loc[("f", 0.1), "note"] == "not compared"
    # Relative to nothing, 0 would be a claim.
    assert np.isnan(table.loc[("f", 0.0), "bd_rate"])
    assert table.loc[("e", 0.0), "bd_rate"] == 0.0
    assert len(table) == 9


@pytest.mark.parametrize(
    ("weights", "anchor", "said"),
    [
        ({"plain": 0.1, "a05": 0.0, "a10": 0.2}, "plain", "alpha 0"),
        (WEIGHTS, "jpeg", "alpha 0"),
        ({"plain": 0.0, "a05": 0.1, "a10": 0.1}, "plain", "distinct"),
        ({"plain": 0.0, "a05": -0.1}, "plain", "negative"),
        ({"plain": 0.0, "a05": float("nan")}, "plain", "finite"),
        (WEIGHTS | {"a20": 0.2}, "plain", "a20"),
        ({"plain": 0.0}, "plain", "no data set"),
    ],
)
def test_a_sweep_that_is_none_is_an_error(
    weights: dict[str, float], anchor: str, said: str
) -> None:
    with pytest.raises(MeasurementError, match=said):
        alpha_sweep_table(bd_rows({("d", "x"): (-0.1, -0.2)}), weights, anchor)


def test_nothing_comparable_missing_columns_and_doubles_are_errors() -> None:
    nan = float("nan")
    rows = bd_rows({("d", "x"): (nan, -0.2), ("d", "y"): (-0.2, nan)})
    with pytest.raises(MeasurementError, match="every weight"):
        alpha_sweep_table(rows, WEIGHTS, "plain")
    with pytest.raises(MeasurementError, match="anchor"):
        alpha_sweep_table(rows.drop(columns="anchor"), WEIGHTS, "plain")
    with pytest.raises(MeasurementError, match="two BD-rates"):
        alpha_sweep_table(pd.concat([rows, rows]), WEIGHTS, "plain")


def test_sweep_rows_are_what_the_figure_draws() -> None:
    rows = bd_rows({("d", "psnr_rgb"): (-0.1, float("nan")), ("d", "lpips"): (-0.1, -0.2)})
    # A percentile interval may miss its value; the figure would refuse it.
    rows.loc[(rows["metric"] == "lpips") & (rows["family"] == "a05"), "lo"] = -0.095
    table = alpha_sweep_table(rows, WEIGHTS, "plain")
    assert table.query("metric == 'lpips' and alpha == 0.05")["lo"].item() == -0.095
    drawn = sweep_rows(table, [METRICS["psnr_rgb"], METRICS["gmsd"], METRICS["lpips"]])
    text = [name.replace("\u00a0", " ") for name in drawn["metric"]]
    psnr, lpips = (f"{name}: BD-rate against \u03b1 = 0 (%)" for name in ("PSNR (RGB)", "LPIPS"))
    assert text == [psnr] * 2 + [lpips] * 3
    assert drawn["alpha"].tolist() == [0.0, 0.05, 0.0, 0.05, 0.1]
    assert drawn["value"].tolist() == pytest.approx([0, -10, 0, -10, -20])
    assert drawn["lo"].tolist() == pytest.approx([0, -11, 0, -10, -21])
    assert drawn["hi"].tolist() == pytest.approx([0, -8, 0, -8, -18])
    assert set(drawn["better"]) == {"lower"}
    assert len(sweep_figure(drawn, 0.1).axes) == 2


# --- the figure ----------------------------------------------------------------------------

INGREDIENTS = ("contrastive features", "FFT in the descriptors", "reverse process", "RDO")
SHOWN = [METRICS[name] for name in ("psnr_rgb", "ms_ssim", "gmsd", "ssimulacra2", "lpips")]


def drawn_table() -> pd.DataFrame:
    generator = np.random.default_rng(5)
    rows = []
    for name, metric, bpp in itertools.product(INGREDIENTS, SHOWN, (0.03, 0.06)):
        change = float(generator.normal(0, 0.4))
        rows.append({
            "dataset": "photos", "without": name, "family": name, "metric": metric.name,
            "bpp": bpp, "full": 1.0, "value": 1.0 + change, "change": change,
            "lo": change - 0.2, "hi": change + 0.3, "images": 22, "left_out": 2, "note": "",
        })  # fmt: skip
    return pd.DataFrame(rows)


def assert_readable(figure: Figure) -> None:
    """Nothing leaves the sheet or covers something else; tick labels keep apart."""
    figure.canvas.draw()
    width, height = figure.bbox.size
    boxes = [text.get_window_extent() for text in figure.texts]
    boxes += [axes.get_tightbbox() for axes in figure.axes]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other), (one, other)
    for box in boxes:
        assert min(box.x0, box.y0) >= -1
        assert box.x1 <= width + 1
        assert box.y1 <= height + 1
    for axes in figure.axes:
        for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
            shown = [label.get_window_extent() for label in labels if label.get_text()]
            for one, other in itertools.combinations(shown, 2):
                assert not one.overlaps(other)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_the_figure_shows_the_changes_and_which_way_is_better(count: int) -> None:
    table, metrics = drawn_table(), SHOWN[:count]
    figure = ablation_figure(table, metrics, "photos", 0.06)
    assert_readable(figure)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [m.title for m in metrics]
    first = [label.get_text().replace("\n", " ") for label in figure.axes[0].get_yticklabels()]
    assert tuple(first) == INGREDIENTS
    for axes, metric in zip(figure.axes, metrics, strict=True):
        part = table[(table["metric"] == metric.name) & (table["bpp"] == 0.06)]
        dots = [line for line in axes.lines if line.get_marker() == "o"]
        assert [dot.get_xdata()[0] for dot in dots] == part["change"].tolist()
        assert [dot.get_ydata()[0] for dot in dots] == [0, 1, 2, 3]
        whiskers = [x for x in axes.lines if x.get_marker() != "o" and x.get_linewidth() == 1.5]
        assert [list(w.get_xdata()) for w in whiskers] == part[["lo", "hi"]].to_numpy().tolist()
        # On a grey print only the filling says which intervals hold 0.
        holds = ((part["lo"] <= 0) & (part["hi"] >= 0)).tolist()
        assert [dot.get_markerfacecolor() == "white" for dot in dots] == holds
        assert ("better →" in axes.get_xlabel()) == metric.higher_is_better
        assert ("← better" in axes.get_xlabel()) != metric.higher_is_better
        (shade,) = [p for p in axes.patches if isinstance(p, Rectangle | PolyCollection)]
        ends = sorted([shade.get_x(), shade.get_x() + shade.get_width()])
        assert ends[1 if metric.higher_is_better else 0] == pytest.approx(0, abs=1e-12)
        assert ends[0] < ends[1]


def test_the_figure_says_what_is_missing() -> None:
    table = drawn_table()
    gone = (table["without"] == "RDO") & (table["metric"] == "lpips")
    table.loc[gone, ["change", "lo", "hi"]] = np.nan
    table.loc[gone, ["images", "note"]] = [0, "the reason"]
    figure = ablation_figure(table, SHOWN, "photos", 0.03)
    assert_readable(figure)
    assert "n/a" in [text.get_text() for text in figure.axes[4].texts]
    note = figure.texts[1].get_text().replace("\n", " ")
    assert "RDO (LPIPS): the reason." in note
    assert "Images: 22;" in note
    assert "not reaching this rate: 2." in note
    # A file's empty notes come back as nan, and without intervals all dots are hollow.
    bare = drawn_table().assign(note=np.nan, lo=np.nan, hi=np.nan, left_out=0)
    figure = ablation_figure(bare, SHOWN, "photos", 0.03)
    assert "interval" not in figure.texts[1].get_text()
    dots = [line for axes in figure.axes for line in axes.lines if line.get_marker() == "o"]
    assert {dot.get_markerfacecolor() for dot in dots} == {"white"}
    # Nothing but zeros still has an axis with two sides.
    still = drawn_table().assign(change=0.0, lo=0.0, hi=0.0)
    low, high = ablation_figure(still, SHOWN, "photos", 0.03).axes[0].get_xlim()
    assert low < 0 < high


def test_no_rows_give_a_placeholder_and_wrong_tables_an_error() -> None:
    table = drawn_table()
    for other in (
        ablation_figure(table, SHOWN, "photos", 0.5),
        ablation_figure(table, SHOWN, "scenes", 0.03),
        ablation_figure(table.assign(change=np.nan), SHOWN, "photos", 0.03),
        ablation_figure(table, [METRICS["dists"]], "photos", 0.03),
    ):
        assert not other.axes
    with pytest.raises(MeasurementError, match="twice"):
        ablation_figure(pd.concat([table, table]), SHOWN, "photos", 0.03)
    with pytest.raises(MeasurementError, match="left_out"):
        ablation_figure(table.drop(columns="left_out"), SHOWN, "photos", 0.03)


# --- the jobs ------------------------------------------------------------------------------


def outputs(folder: Path, stems: list[str]) -> dict[str, Any]:
    kinds = ("svg", "pdf", "png")
    figures = [folder / f"{stem}.{kind}" for stem in stems for kind in kinds]
    return {"table": folder / "table.csv", "figures": figures}


def test_the_ablation_job_makes_its_outputs(tmp_path: Path) -> None:
    measured = planted({"mpd": 0.0, "no-features": -0.5}, images=4)
    for number, part in enumerate((measured.iloc[:20], measured.iloc[20:])):
        part.to_parquet(tmp_path / f"{number}.parquet")
    out = outputs(tmp_path, ["ablation_photos_0", "ablation_photos_1"])
    jobs.ablation(
        **out,
        measurements=[tmp_path / f"{n}.parquet" for n in (0, 1)],
        full="mpd", without=WITHOUT, rates=[1.0, 3.0], metrics=["psnr_rgb", "gmsd"],
        bootstrap={"resamples": 50, "seed": 1}, comparison={"max_failed": 0.25},
        drawn={"ablation_photos_0": ("photos", 1.0), "ablation_photos_1": ("photos", 3.0)},
    )  # fmt: skip
    assert pd.read_csv(out["table"])["change"].tolist() == pytest.approx([-0.5, -0.5, 5e-3, 5e-3])
    assert all(path.stat().st_size for path in out["figures"])
    assert out["figures"][0].read_bytes() != out["figures"][3].read_bytes()


def test_the_sweep_job_makes_its_outputs(tmp_path: Path) -> None:
    rows = bd_rows({("d", "lpips"): (-0.1, -0.2), ("e_1", "lpips"): (-0.1, float("nan"))})
    write_csv(rows, tmp_path / "bd_rate.csv")
    drawn = {f"alpha_sweep_fft_{name}": name for name in ("d", "e_1", "none")}
    out = outputs(tmp_path, list(drawn))
    alpha_sweep(
        "fft", **out, bd_rate=tmp_path / "bd_rate.csv", drawn=drawn, weights=WEIGHTS,
        anchor="plain", metrics=["psnr_rgb", "lpips"],
    )  # fmt: skip
    table = pd.read_csv(out["table"])
    assert table.loc[table["chosen"] == 1, "alpha"].tolist() == [0.1, 0.1]
    assert all(path.stat().st_size for path in out["figures"])
    with pytest.raises(MeasurementError, match="does not declare the figure other"):
        alpha_sweep(
            "fft", **out, bd_rate=tmp_path / "bd_rate.csv", drawn={"other": "d"}, weights=WEIGHTS,
            anchor="plain", metrics=["psnr_rgb", "lpips"],
        )  # fmt: skip
