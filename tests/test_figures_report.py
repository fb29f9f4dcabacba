"""Figures show the table's own numbers, files are reproducible, and the report works when used."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from figure_checks import assert_no_overlap
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.colors import to_hex

from icmbench.core.errors import MeasurementError
from icmbench.core.images.image_files import write_png
from icmbench.datasets.records import Record
from icmbench.reporting.artefacts import Text
from icmbench.reporting.catalogue import TABLES
from icmbench.reporting.figures.axes import log_ticks, plain
from icmbench.reporting.figures.bd_heatmap import BD_MAP, bd_heatmap, log_ratio, percent
from icmbench.reporting.figures.contact import contact_sheet
from icmbench.reporting.figures.matching import (
    Box,
    choose_crops,
    matched_rate,
    unmatched_families,
)
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.rate_panels import pareto_optimal, reduced_scale
from icmbench.reporting.figures.rate_time import rate_time, seconds_per_megapixel, variants
from icmbench.reporting.figures.rd_curves import rd_curves, rd_note
from icmbench.reporting.figures.style import KNOWN, declared_stem, family_styles, save
from icmbench.reporting.figures.visual import Entry, visual_comparison
from icmbench.reporting.report import contents
from icmbench.reporting.report.page import build_report
from icmbench.reporting.report.pictures import ContactSheet, ReportFigure
from icmbench.reporting.report.report_tables import csv_text, table_view
from icmbench.reporting.report.revisions import revisions_table
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.studies import visuals

pytestmark = pytest.mark.usefixtures("no_formulas")

HOSTILE = '<script>document.title="owned"</script>'


@dataclass(frozen=True)
class Metric:
    name: str
    title: str
    unit: str
    higher_is_better: bool
    settings: dict[str, Any] = field(default_factory=dict)


PSNR = Metric("psnr", "PSNR", "dB", True, {"peak": 255})
GMSD = Metric("gmsd", "GMSD", "", False)


def rd_table() -> pd.DataFrame:
    """Two families by hand, `jpeg:quality=50` beaten by `jpeg:quality=30`, and the lossless one."""
    points = [
        ("jpeg:quality=10", "jpeg", 0.25, 27.0, 0.15),
        ("jpeg:quality=30", "jpeg", 0.50, 30.5, 0.08),
        ("jpeg:quality=50", "jpeg", 0.80, 30.0, 0.09),
        ("jpeg:quality=90", "jpeg", 2.20, 37.0, 0.02),
        ("webp:quality=20", "webp", 0.20, 28.5, 0.10),
        ("webp:quality=80", "webp", 1.10, 35.5, 0.03),
        ("webp:quality=80,scale=0.5", "webp", 0.40, 29.9, 0.06),
        ("identity", "identity", 13.5, math.inf, 0.0),
    ]
    rows = [
        {
            "dataset": "photos",
            "codec": c,
            "family": f,
            "images": 3,
            "failed": 0,
            "bpp": b,
            "bpp_lo": b * 0.9,
            "bpp_hi": b * 1.1,
            "psnr": p,
            "psnr_lo": p - 1,
            "psnr_hi": p + 1.5,
            "gmsd": g,
            "gmsd_lo": g * 0.9,
            "gmsd_hi": g * 1.1,
        }
        for c, f, b, p, g in points
    ]
    return pd.DataFrame(rows)


def bd_table() -> pd.DataFrame:
    cells = [
        ("webp", "psnr", -0.231, 0.9),
        ("webp", "gmsd", 0.5, 0.8),
        ("mpd", "psnr", math.nan, 0.1),
    ]
    return pd.DataFrame(
        [
            {
                "dataset": "photos",
                "family": f,
                "anchor": "jpeg",
                "metric": m,
                "bd_rate": v,
                "lo": v - 0.05,
                "hi": v + 0.05,
                "overlap": o,
                "images": 3,
                "points": 6,
                "anchor_points": 6,
                "note": "",
            }
            for f, m, v, o in cells
        ]
    )


def timing_table() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "codec": c,
                "device": "cpu",
                "images": 3,
                "encode_s": e,
                "encode_s_spread": e / 5,
                "decode_s": e / 10,
                "decode_s_spread": e / 50,
                "dataset": "photos",
                "family": c.partition(":")[0],
                "megapixels": 0.25,
                "encode_start_s": 0.3,
                "decode_start_s": 0.3,
            }
            for c, e in (
                ("jpeg:quality=10", 0.01),
                ("jpeg:quality=90", 0.02),
                ("webp:quality=20", 0.1),
            )
        ]
    )


def picture(seed: int = 0, size: tuple[int, int] = (96, 128)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


# --- Pareto -----------------------------------------------------------------------------------


def test_pareto_by_hand() -> None:
    rate = np.array([0.5, 0.2, 0.8, 0.5, 1.0, 1.0])
    quality = np.array([30.0, 28.0, 29.0, 31.0, 31.0, 31.0])
    assert pareto_optimal(rate, quality, True).tolist() == [False, True, False, True, False, False]
    # As a distance, the cheapest point (28) beats everything.
    assert pareto_optimal(rate, quality, False).tolist() == [False, True] + [False] * 4


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), max_size=12), st.booleans())
def test_pareto_is_the_definition(points: list[tuple[int, int]], higher: bool) -> None:
    rate, quality = (np.array([p[i] for p in points], dtype=float) for i in (0, 1))
    kept = pareto_optimal(rate, quality, higher)
    sign = 1 if higher else -1
    for i, (r, q) in enumerate(points):
        beaten = any(
            s <= r and sign * p >= sign * q and ((s, p) != (r, q) or j < i)
            for j, (s, p) in enumerate(points)
        )
        assert kept[i] == (not beaten)


# --- figures show the data ----------------------------------------------------------------------


def _line(axes: Any, label: str) -> Any:
    (found,) = [line for line in axes.get_lines() if line.get_label() == label]
    return found


def _markers(axes: Any, colour: str, hollow: bool, faint: bool = False) -> set[tuple[float, float]]:
    found = set()
    for line in axes.get_lines():
        if line.get_linestyle() != "None":
            continue
        face = to_hex(line.get_markerfacecolor())
        edge = to_hex(line.get_markeredgecolor())
        mine = edge == colour.lower() if hollow else face == colour.lower()
        if mine and (face == "#ffffff") == hollow and (line.get_alpha() < 1) == faint:
            found |= set(zip(line.get_xdata(), line.get_ydata(), strict=True))
    return found


def test_rd_curves_draw_the_table() -> None:
    figure = rd_curves(rd_table(), "photos", [PSNR, GMSD])
    psnr, gmsd = figure.axes
    assert _line(psnr, "jpeg").get_xydata().tolist() == [[0.25, 27], [0.5, 30.5], [2.2, 37]]
    assert _line(gmsd, "jpeg").get_xydata().tolist() == [[0.25, 0.15], [0.5, 0.08], [2.2, 0.02]]
    # Beaten by quality 30: faint and small, but filled, since it was coded at full size.
    assert _markers(psnr, KNOWN["jpeg"].colour, hollow=False, faint=True) == {(0.8, 30.0)}
    assert _markers(psnr, KNOWN["jpeg"].colour, hollow=True) == set()
    assert _markers(psnr, KNOWN["jpeg"].colour, hollow=False) == {
        (0.25, 27),
        (0.5, 30.5),
        (2.2, 37),
    }
    # On the curve, yet hollow: coded at half the size.
    assert [0.4, 29.9] in _line(psnr, "webp").get_xydata().tolist()
    assert _markers(psnr, KNOWN["webp"].colour, hollow=True) == {(0.4, 29.9)}
    sizes = {line.get_markersize() for line in psnr.get_lines() if line.get_alpha() == 0.45}
    assert max(sizes) < 4.4
    beaten = rd_table()
    beaten.loc[6, "psnr"] = 28.0
    (axes,) = rd_curves(beaten, "photos", [PSNR]).axes
    assert _markers(axes, KNOWN["webp"].colour, hollow=True, faint=True) == {(0.4, 28.0)}
    assert _markers(axes, KNOWN["webp"].colour, hollow=True) == set()
    note = rd_note(rd_table(), "photos")
    assert "Hollow: coded at reduced scale. Small and faint: not Pareto-optimal" in note
    assert "no intervals below 3 images" in rd_note(rd_table().assign(images=2), "photos")
    assert _markers(psnr, KNOWN["webp"].colour, hollow=False) == {(0.2, 28.5), (1.1, 35.5)}
    bands = [c for c in psnr.collections if isinstance(c, FillBetweenPolyCollection)]
    corners = {tuple(p) for band in bands for p in band.get_paths()[0].vertices}
    assert {(0.25, 26.0), (0.25, 28.5), (2.2, 36.0), (2.2, 38.5)} <= corners
    assert not any(x == 0.8 for x, _ in corners)


def test_rd_axes_are_logarithmic_labelled_and_exclude_identity() -> None:
    figure = rd_curves(rd_table(), "photos", [PSNR, GMSD])
    for axes, words in zip(figure.axes, ("higher is better ↑", "lower is better ↓"), strict=True):
        assert axes.get_xscale() == "log"
        assert "bits per pixel" in axes.get_xlabel()
        assert axes.get_xlim()[1] < 5
        assert words in {t.get_text() for t in axes.texts}
        ticks = [t.get_text() for t in axes.get_xticklabels()]
        assert "0.5" in ticks
        assert not any("10^" in t or "e" in t for t in ticks)
        assert not any(line.get_label() == "identity" for line in axes.get_lines())
    assert figure.axes[0].get_ylabel() == "PSNR (dB)"
    assert "13.50 bpp" in rd_note(rd_table(), "photos")
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["jpeg", "webp"]


def test_rd_outlier_does_not_flatten_the_axis_and_is_counted() -> None:
    table = rd_table()
    table.loc[0, ["psnr", "psnr_lo", "psnr_hi"]] = -400.0
    figure = rd_curves(table, "photos", [PSNR])
    assert figure.axes[0].get_ylim()[0] > 0
    assert any(
        "beyond the axes (arrow heads): 1." in t.get_text().replace("\n", " ") for t in figure.texts
    )


def test_rd_curves_survive_an_excluded_point_and_refuse_nonsense() -> None:
    table = rd_table()
    table.loc[1, ["bpp", "psnr", "psnr_lo", "psnr_hi"]] = math.nan
    line = _line(rd_curves(table, "photos", [PSNR]).axes[0], "jpeg")
    assert line.get_xydata().tolist() == [[0.25, 27], [0.8, 30.0], [2.2, 37]]
    with pytest.raises(MeasurementError, match="lpips"):
        rd_curves(table, "photos", [Metric("lpips", "LPIPS", "", False)])


@pytest.mark.parametrize(
    "metrics", [[PSNR], [PSNR, GMSD], [PSNR, GMSD] * 2, [PSNR, GMSD, PSNR] * 2]
)
def test_no_text_overlaps(metrics: list[Metric]) -> None:
    table = pd.concat(
        [rd_table(), rd_table().assign(family=lambda t: "long-family-" + t["family"])]
    )
    figure = rd_curves(table, "photos", metrics)
    assert_no_overlap(figure)


def test_heat_map_cells_say_what_the_table_says() -> None:
    figure = bd_heatmap(bd_table(), "photos", "jpeg", [PSNR, GMSD])
    axes = figure.axes[0]
    texts = {t.get_text(): (round(t.get_position()[0]), round(t.get_position()[1]))
             for t in axes.texts}  # fmt: skip
    # webp has a PSNR number, so it is the first row; mpd has none and is the last.
    assert [t.get_text() for t in axes.get_yticklabels()] == ["webp", "mpd"]
    assert texts["\u221223.1 %"] == (0, 0)
    assert texts["+50.0 %"] == (1, 0)
    assert texts["\u221228.1 to \u221218.1"] == (0, 0)
    assert texts["n/a"] == (0, 1)
    assert texts["—"] == (1, 1)
    # A number with a reservation carries a star.
    starred = bd_table().assign(note=lambda t: np.where(t["metric"] == "gmsd", "3 points", ""))
    other = bd_heatmap(starred, "photos", "jpeg", [PSNR, GMSD])
    assert "+50.0 %*" in {t.get_text() for t in other.axes[0].texts}
    assert any("*webp (GMSD): 3 points" in t.get_text().replace("\n", " ") for t in other.texts)
    note = " ".join(t.get_text() for t in figure.texts).replace("\n", " ")
    assert "mpd (PSNR): the curves overlap by 10\u00a0% only" in note


def test_heat_map_colours_are_centred_and_ordered_in_grey() -> None:
    luminance = BD_MAP(np.linspace(0, 1, 64))[:, :3] @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > 0).all()
    assert log_ratio(-0.5) == -1
    assert log_ratio(1.0) == 1
    assert log_ratio(0.0) == 0
    figure = bd_heatmap(bd_table(), "photos", "jpeg")
    low, high = figure.axes[1].get_ylim()
    assert low == -high
    with pytest.raises(MeasurementError):
        log_ratio(-1.0)
    with pytest.raises(MeasurementError, match="twice"):
        bd_heatmap(pd.concat([bd_table(), bd_table()]), "photos", "jpeg")


def test_percent_is_signed() -> None:
    assert [percent(v) for v in (-0.231, 0.0, -0.0001, 2.5, 0.9999)] == [
        "\u221223.1 %", "0.0 %", "0.0 %", "+250 %", "+100 %"]  # fmt: skip


def test_rate_time_is_seconds_per_megapixel() -> None:
    rows = seconds_per_megapixel(timing_table(), rd_table(), "photos")
    assert rows["encode"].tolist() == [0.04, 0.08, 0.4]
    assert rows["bpp"].tolist() == [0.25, 2.2, 0.2]
    figure = rate_time(timing_table(), rd_table(), "photos")
    line = next(c for c in figure.axes[0].containers if c.get_label() == "jpeg")
    assert line[0].get_xydata().tolist() == [[0.25, 0.04], [2.2, 0.08]]
    bar = line[2][0].get_segments()[0]
    assert bar == pytest.approx(np.array([[0.25, 0.036], [0.25, 0.044]]))
    assert figure.axes[0].get_yscale() == "log" == figure.axes[0].get_xscale()
    assert any("on cpu" in t.get_text() for t in figure.texts)


def test_same_codec_spec_in_two_families_keeps_its_own_rate() -> None:
    rd = pd.concat([rd_table(), rd_table().assign(family="other", bpp=9.0)])
    assert len(seconds_per_megapixel(timing_table(), rd, "photos")) == 3


def test_variants_split_by_what_is_not_the_rate() -> None:
    codecs = ["mpd:state=0", "mpd:state=1", "mpd:decoder=mean,state=1", "mpd:state=2"]
    assert variants(codecs) == dict(zip(codecs, ["", "", "decoder=mean", ""], strict=True))


@pytest.mark.parametrize(
    ("codec", "expected"),
    [("webp:quality=20,scale=0.5", True), ("webp:quality=20", False), ("identity", False),
     ("webp:quality=20,scale=1.0", False), ("x:upscale=0.5", False)],
)  # fmt: skip
def test_reduced_scale(codec: str, expected: bool) -> None:
    assert reduced_scale(codec) is expected


@given(st.floats(1e-4, 50), st.floats(1.5, 1e5))
def test_log_ticks_are_few_and_plain(low: float, ratio: float) -> None:
    ticks = log_ticks(low, low * ratio)
    assert len(ticks) <= 7
    assert all(low <= t <= low * ratio for t in ticks)
    assert all(float(plain(t)) == t and "e" not in plain(t) for t in ticks)
    assert len(ticks) >= 1 or ratio < 2


def test_styles_are_fixed_and_distinct() -> None:
    everything = [*KNOWN, *(f"codec-{i}" for i in range(30))]
    styles = family_styles(everything)
    assert styles["jpeg"] == KNOWN["jpeg"] == family_styles(["jpeg"])["jpeg"]
    assert family_styles(reversed(everything)) == styles
    assert len({(s.colour, s.marker, s.dash) for s in styles.values()}) == len(styles)
    # In grey, without colour, the known ones differ by their marker alone.
    assert len({s.marker for s in KNOWN.values()}) == len(KNOWN)


# --- matched rate, crops, contact sheet ---------------------------------------------------------


def _measurements() -> pd.DataFrame:
    rows = [
        ("avif", "avif:quality=20", 0.219, "ok"),  # 9.5 % above: allowed
        ("avif", "avif:quality=10", 0.170, "ok"),  # 17.6 % below: farther
        ("heic", "heic:quality=20", 0.221, "ok"),  # 10.5 % above: too much
        ("heic", "heic:quality=10", 0.140, "ok"),  # 1.43 below: the only one left
        ("jpeg", "jpeg:quality=5", 0.250, "ok"),
        ("jpeg", "jpeg:quality=1", 0.130, "ok"),  # below by more than 1.5
        ("jxl", "jxl:quality=20", 0.200, "CorruptStream"),
        ("jxl", "jxl:quality=10", 0.150, "ok"),
        ("webp", "webp:quality=9", 0.220, "ok"),  # exactly 10 %
        ("identity", "identity", 0.2, "ok"),
    ]
    table = pd.DataFrame(rows, columns=["family", "codec", "bpp", "status"])
    other = table.assign(image="b", bpp=0.2)
    return pd.concat([other, table.assign(image="a")]).assign(dataset="photos")


def test_matched_rate_by_hand() -> None:
    table = _measurements()
    chosen = matched_rate(table, "photos", "a", 0.2)
    assert chosen["codec"].tolist() == [
        "avif:quality=20", "heic:quality=10", "jxl:quality=10", "webp:quality=9"]  # fmt: skip
    assert chosen["image"].unique().tolist() == ["a"]
    assert unmatched_families(table, chosen, "photos", "a") == ["jpeg"]
    shuffled = table.sample(frac=1, random_state=3)
    assert matched_rate(shuffled, "photos", "a", 0.2)["codec"].equals(chosen["codec"])
    with pytest.raises(MeasurementError):
        matched_rate(table, "photos", "c", 0.2)
    with pytest.raises(MeasurementError):
        matched_rate(table, "photos", "a", 0.0)


def test_crops_find_planted_detail_and_disagreement() -> None:
    original = np.full((160, 256, 3), 128, np.uint8)
    original[80:144, 32:96] = picture(1, (64, 64))
    one, two = original.copy(), original.copy()
    one[0:64, 128:192] += 40
    assert choose_crops(original, [one, two]) == [Box(32, 80, 64), Box(128, 0, 64)]
    # Disagreement inside the first box must not give the same crop twice.
    one = original.copy()
    one[80:144, 32:96] = 0
    first, second = choose_crops(original, [one, two])
    assert first == Box(32, 80, 64)
    assert abs(first.left - second.left) >= 64 or abs(first.top - second.top) >= 64
    assert choose_crops(picture(0, (20, 30)), [])[0].side == 20
    with pytest.raises(MeasurementError):
        choose_crops(original, [original[:10]])


def test_visual_comparison_shows_exact_pixels(tmp_path: Path) -> None:
    from PIL import Image

    original = picture(0)
    entries = [Entry(f"f{i}", f"f{i}:q=1", 0.2, 30.0, picture(i)) for i in (1, 2)]
    boxes = [Box(8, 16, 32), Box(64, 40, 32)]
    figure = visual_comparison(original, entries, boxes, title="t", left_out=["jpeg"])
    words = " ".join(t.get_text() for t in figure.texts)
    assert "0.200 bpp · PSNR 30.00 dB" in words
    assert "No point near this rate: jpeg" in words
    png = np.asarray(Image.open(save(figure, tmp_path / "v")[2]).convert("RGB"))
    for image in (original, entries[0].image, entries[1].image):
        for box in boxes:
            part = image[box.top + 2 : box.top + 30, box.left + 2 : box.left + 30]
            big = part.repeat(3, axis=0).repeat(3, axis=1)
            assert _contains(png, big), "the crop is not in the PNG pixel by pixel"
    with pytest.raises(MeasurementError, match="outside"):
        visual_comparison(original, entries, [Box(110, 0, 32), Box(0, 0, 32)])
    with pytest.raises(MeasurementError, match="size"):
        visual_comparison(original[:50], entries, boxes)
    bare = visual_comparison(original, [Entry("f", "f:q=1", 0.2, None, picture(1))], boxes)
    words = " ".join(t.get_text() for t in bare.texts)
    assert "0.200 bpp" in words
    assert "PSNR" not in words


def _contains(large: np.ndarray, small: np.ndarray) -> bool:
    high, wide = small.shape[:2]
    corners = np.argwhere((large == small[0, 0]).all(axis=2))
    return any(np.array_equal(large[y : y + high, x : x + wide], small) for y, x in corners)


def test_contact_sheet_shape_and_content() -> None:
    red = np.zeros((10, 10, 3), np.uint8)
    red[..., 0] = 255
    sheet = contact_sheet([red, picture(1, (300, 500)), red], ["a", "b" * 90, "c"], 2, 100)
    assert sheet.shape == (2 * 124 + 6, 2 * 106 + 6, 3)
    assert sheet.dtype == np.uint8
    # Small pictures keep their size: 2 x 100 red pixels and no more.
    assert ((sheet == (255, 0, 0)).all(axis=2)).sum() == 200
    with pytest.raises(MeasurementError):
        contact_sheet([red], ["a", "b"])


# --- nothing to draw ----------------------------------------------------------------------------


def _words(figure: Any) -> str:
    return " ".join(text.get_text() for text in figure.texts).replace("\n", " ")


@pytest.mark.parametrize("how", ["no rows", "no averages", "empty table"])
def test_a_data_set_without_points_gives_placeholders_with_the_reason(how: str) -> None:
    rd, timing, bd = rd_table(), timing_table(), bd_table()
    if how == "no averages":
        values = [c for c in rd if c.startswith(("bpp", "psnr", "gmsd"))]
        rd[values] = math.nan
    elif how == "empty table":
        # As pandas reads a file of headers: no dtype to rely on.
        rd, timing, bd = (pd.read_csv(io.StringIO(t.iloc[:0].to_csv())) for t in (rd, timing, bd))
    dataset = "kodak" if how == "no rows" else "photos"
    assert "no lossy codec has a point" in _words(rd_curves(rd, dataset, [PSNR]))
    assert "both seconds and a rate" in _words(rate_time(timing, rd, dataset))
    if how != "no averages":
        heat = _words(bd_heatmap(bd, dataset, "jpeg", [PSNR]))
        assert "no lossy codec other than jpeg" in heat
        assert f"BD-rate against jpeg, {dataset}" in heat
    # A metric that is no column stays an error of the program.
    with pytest.raises(MeasurementError, match="lpips"):
        rd_curves(rd, dataset, [Metric("lpips", "LPIPS", "", False)])


def test_rate_time_without_seconds_and_heat_map_without_numbers() -> None:
    timing = timing_table().assign(encode_s=math.nan, decode_s=math.nan)
    assert "Nothing to draw" in _words(rate_time(timing, rd_table(), "photos"))
    decoded = timing_table().assign(encode_s=math.nan)
    assert "Nothing to draw" not in _words(rate_time(decoded, rd_table(), "photos"))
    bd = bd_table().assign(bd_rate=math.nan, lo=math.nan, hi=math.nan, note="no image is compared")
    assert "no image is compared" in _words(bd_heatmap(bd, "photos", "jpeg", [PSNR, GMSD]))


def test_no_entries_and_no_pictures_give_placeholders(tmp_path: Path) -> None:
    figure = visual_comparison(picture(), [], title="A title", left_out=["avif", "jpeg"])
    assert "A title" in _words(figure)
    assert "no codec has a point near this rate: avif, jpeg" in _words(figure)
    assert len(save(figure, tmp_path / "v")) == 3
    sheet = contact_sheet([], [])
    assert sheet.dtype == np.uint8
    assert sheet.shape[2] == 3
    # Words stand on it: ink of more than one grey.
    assert len(np.unique(sheet)) > 5
    assert contact_sheet([], []).tobytes() == sheet.tobytes()


def test_placeholder_text_stays_inside() -> None:
    figure = placeholder("A title of some length, photos", "a reason that goes on and on " * 12)
    figure.canvas.draw()
    width, height = figure.bbox.size
    boxes = [text.get_window_extent() for text in figure.texts if text.get_text()]
    for box in boxes:
        assert 0 <= box.x0 < box.x1 <= width
        assert 0 <= box.y0 < box.y1 <= height
    assert not boxes[0].overlaps(boxes[1])


def test_visual_figure_without_psnr_near_points_or_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_png(tmp_path / "a.png", picture())
    monkeypatch.setattr(visuals, "parse_spec", str)
    table = _measurements()
    families = dict.fromkeys(table["family"])
    arguments = (table, dict.fromkeys(families, tmp_path), families, lambda *_: picture(1))
    record = Record("a", "a.png")

    def shown(record: Record, bpp: float) -> str:
        matched = visuals.match_image("photos", record, tmp_path, bpp, *arguments)
        return _words(visuals.visual_figure(matched))

    assert "0.219 bpp" in shown(record, 0.2)
    assert "dB" not in shown(record, 0.2)
    arguments = (table.assign(psnr_rgb=31.25), *arguments[1:])
    assert "PSNR 31.25 dB" in shown(record, 0.2)
    assert "no codec has a point near this rate: avif, heic" in shown(record, 90.0)
    gone = Record("a", "gone.png", status="truncated file")
    assert "refused: truncated file" in shown(gone, 0.2)


# --- reproducible files -------------------------------------------------------------------------


@pytest.mark.slow
def test_files_are_equal_between_processes(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import sys
        sys.path.insert(0, sys.argv[2])
        from test_figures_report import PSNR, GMSD, rd_table, bd_table, picture
        from icmbench.reporting.figures.bd_heatmap import bd_heatmap
        from icmbench.reporting.figures.rd_curves import rd_curves
        from icmbench.reporting.figures.style import save
        from icmbench.reporting.figures.visual import Entry, visual_comparison
        out = sys.argv[1]
        save(rd_curves(rd_table(), "photos", [PSNR, GMSD]), out + "/rd.v1")
        save(bd_heatmap(bd_table(), "photos", "jpeg"), out + "/bd")
        save(visual_comparison(picture(0), [Entry("f", "f", 1, 30, picture(1))]), out + "/vis")
        """
    )
    here = Path(__file__).parent
    folders = [tmp_path / seed for seed in ("1", "2")]
    running = []
    for folder in folders:
        folder.mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": folder.name, "PYTHONPATH": str(here.parent)}
        command = [sys.executable, "-c", program, str(folder), str(here)]
        running.append(subprocess.Popen(command, env=environment))
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    digests = [
        {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
        for folder in folders
    ]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 9
    assert {"rd.v1.svg", "rd.v1.pdf", "rd.v1.png"} <= set(digests[0])
    assert b"/Type3" not in (tmp_path / "1/rd.v1.pdf").read_bytes()


def test_save_restores_the_callers_settings(tmp_path: Path) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    save(rd_curves(rd_table(), "photos", [PSNR]), tmp_path / "x")
    assert dict(mpl.rcParams) == before
    with pytest.raises(MeasurementError):
        save(rd_curves(rd_table(), "photos", [PSNR]), tmp_path / "x.svg")


# --- report -------------------------------------------------------------------------------------


def test_table_view_folds_intervals_and_keeps_digits() -> None:
    times = table_view(timing_table().assign(encode_s=[0.0, 0.31, 123.4]), "timing", "T")
    assert [row[5].text for row in times.rows] == ["0", "0.310", "123"]
    view = table_view(rd_table(), "rd", "RD", metrics=[PSNR, GMSD], filters=["dataset", "family"])
    names = [column.name for column in view.columns]
    assert names == ["dataset", "family", "codec", "images", "failed", "bpp", "psnr", "gmsd"]
    cell = view.rows[0][names.index("psnr")]
    assert (cell.text, cell.interval, cell.sort) == ("27.00", "26.00 … 28.50", "27.0")
    lossless = view.rows[7][names.index("psnr")]
    assert (lossless.text, lossless.sort, lossless.interval) == ("∞", "inf", "")
    assert view.columns[names.index("gmsd")].unit == "↓"
    assert view.choices == {"family": ["identity", "jpeg", "webp"]}
    bd = table_view(bd_table(), "bd_rate", "BD", metrics=[PSNR, GMSD])
    assert [cell.text for cell in bd.rows[0][:5]] == [
        "photos",
        "webp",
        "jpeg",
        "PSNR",
        "\u221223.1",
    ]
    assert bd.rows[2][4].text == ""


def test_columns_without_a_value_and_long_lists_are_in_the_csv_alone() -> None:
    frame = pd.DataFrame(
        {
            "family": ["a", "b"],
            "energy": ["", ""],
            "encode_j_mp": [math.nan, math.nan],
            "decode_kmac_px": [math.nan, 12.5],
            "note": ["", ""],
            "specs": ["a:q=1 a:q=2", ""],
        }
    )
    view = table_view(frame, "costs", "Costs")
    assert [column.name for column in view.columns] == ["family", "decode_kmac_px", "note"]
    stored = view.csv
    assert stored.startswith("family,energy,encode_j_mp,decode_kmac_px,note,specs\na,,,,,a:q=1 a")


def test_csv_has_every_row_and_quotes() -> None:
    table = pd.DataFrame({"a": ['x,"y"', "z"], "b": [1.5, math.nan]})
    assert csv_text(table) == 'a,b\n"x,""y""",1.5\nz,\n'
    long = pd.DataFrame({"n": range(1500)})
    view = table_view(long, "n", "N")
    assert len(view.rows) == 1000
    assert view.total == 1500
    assert len(view.csv.splitlines()) == 1501


def _failures() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "dataset": "photos",
                "family": "webp",
                "codec": "webp:quality=2",
                "status": "CorruptStream",
                "images": 2,
                "first_image": "a",
                "detail": HOSTILE,
            }
        ]
    )


def _build(folder: Path, failures: pd.DataFrame) -> Path:
    save(rd_curves(rd_table(), "photos", [PSNR, GMSD]), folder / "rd")
    save(bd_heatmap(bd_table(), "photos", "jpeg", [PSNR, GMSD]), folder / "bd")
    out = folder / "report.html"
    build_report(
        out,
        title="A run & its numbers",
        tables={"rd": rd_table(), "bd_rate": bd_table(), "timing": timing_table(),
                "ablations": pd.DataFrame({"what": ["no <b>FFT</b>"], "psnr": [28.0]})},
        summary="Made by a test.",
        texts={"rd": Text("rd", "Rate\u2013distortion", "Means.", filters=("dataset", "family"))},
        figures=[ReportFigure(folder / "rd.svg", "RD", "Curves.", "Rate\u2013distortion"),
                 ReportFigure(folder / "bd", "BD", "Cells.", "BD-rate")],
        contact_sheets=[ContactSheet("photos", contact_sheet([picture()], ["a"]))],
        provenance={"versions": {"python": "3.11"}, "source": "https://example.org/x"},
        missing_metrics={"LPIPS": "needs weights"},
        comparison_notes=["photos: all 3 images"],
        failures=failures,
        metrics=[PSNR, GMSD],
    )  # fmt: skip
    return out


class _Page(HTMLParser):
    """Ids, addresses and the number of script elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.scripts = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "srcset", "action", "poster"):
                self.addresses.append(value or "")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(tmp_path_factory.mktemp("report"), _failures())


def test_report_is_self_contained_and_escapes(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    page = _Page(text)
    beside = {f"{name}.{kind}" for name in ("rd", "bd")
              for kind in ("png", "svg", "pdf")}  # fmt: skip
    assert {a for a in page.addresses if not a.startswith(("#", "data:"))} == beside
    assert not re.search(r"@import|url\(", text)
    assert page.scripts == 2  # one of them is packed data
    assert HOSTILE not in text
    assert "&lt;script&gt;document.title" in text
    assert "no &lt;b&gt;FFT&lt;/b&gt;" in text
    assert "A run &amp; its numbers" in text
    assert len(page.ids) == len(set(page.ids))
    assert {a[1:] for a in page.addresses if a.startswith("#")} <= set(page.ids)
    assert "No failures" not in text
    assert "needs weights" in text
    assert "3.11" in text
    assert len(text) < 2_000_000


def test_report_is_reproducible_and_says_no_failures(tmp_path: Path, report: Path) -> None:
    again = _build(tmp_path, _failures())
    assert again.read_bytes() == report.read_bytes()
    clean = _build(tmp_path, _failures().iloc[:0])
    assert "No failures" in clean.read_text()
    assert "efused" not in _visible(clean)


def _visible(page: Path) -> str:
    """The page's text without style, script and embedded data."""
    text = re.sub(r"<(style|script)>.*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def _refused(count: int) -> pd.DataFrame:
    named = {"family": "", "codec": "", "status": "refused", "images": 1, "dataset": "photos"}
    return pd.DataFrame(
        [named | {"first_image": f"bad{i}", "detail": "not an image"} for i in range(count)]
    )


def test_refused_images_are_prominent_and_are_no_codecs_failure(tmp_path: Path) -> None:
    manifest = pd.DataFrame({"dataset": "photos", "image": [f"i{n}" for n in range(15)]})
    words = {}
    for name, failures in (("only", _refused(4)), ("both", pd.concat([_refused(4), _failures()]))):
        out = tmp_path / f"{name}.html"
        build_report(
            out, title="t", tables={"manifest": manifest}, texts={}, figures=[], contact_sheets=[],
            provenance={}, missing_metrics={}, comparison_notes=[], failures=failures,
        )  # fmt: skip
        words[name] = _visible(out)
        assert "15 images, 4 refused" in words[name]
        assert "No failures" not in words[name]
        assert "4 images could not be used and reached no codec" in words[name]
        assert all(f"photos bad{i} not an image" in words[name] for i in range(4))
    # Counted apart: the two images of the codec's failure are not among the refused.
    assert "0 failures" in words["only"]
    assert "2 failures" in words["both"]
    assert "are missing from the averages above" not in words["only"]
    assert "are missing from the averages above" in words["both"]


# --- what stands in it ------------------------------------------------------------------------


def test_comparison_lines_say_why() -> None:
    lines = contents.comparison_lines(
        {
            "photos": {
                "images": ["a", "b", "c"],
                "left_out": {"d": ["jpeg:quality=1"]},
                "excluded": {"webp:quality=2": 3},
                "undefined": {"tiny": ["ms_ssim", "ssimulacra2"]},
                "infinite": {"flat": [["psnr_rgb", "jpeg:quality=10"]]},
            }
        }
    )
    assert lines == [
        "photos: 3 images are compared.",
        "photos: d is left out because of jpeg:quality=1.",
        "photos: tiny is left out: too small or flat for MS-SSIM, SSIMULACRA 2.",
        "photos: flat is left out: PSNR (RGB) is infinite for jpeg:quality=10.",
        "photos: webp:quality=2 is not averaged, it failed on 3 images.",
    ]


def test_assembled_report_reads_refused_images_from_the_failures(tmp_path: Path) -> None:
    home = tmp_path / "photos"
    home.mkdir()
    (home / "manifest.csv").write_text(
        "image,annotation,split,status\na,,test,ok\nbad0,,test,not an image\n"
    )
    write_csv(_refused(1), tmp_path / "failures.csv")
    write_csv(rd_table(), tmp_path / "rd.csv")
    contents.assemble_report(
        tmp_path / "report.html",
        config={"weights": "", "metrics": ["psnr_rgb"], "codecs": {"jpeg": {}, "gone": {}},
                "downloads": "downloads",
                "datasets": {"photos": {}}, "anchors": ["jpeg"], "tasks": {}, "split": "test"},
        units=[("photos", "jpeg"), ("photos", "gone")],
        notices=["visual[0] is left out: a reason"],
        unavailable={"avif": "no libavif"},
        tables=[(tmp_path / f"{name}.csv", Text(name, name)) for name in ("rd", "failures")],
        manifests=[home / "manifest.csv"],
        comparison={},
        provenance={},
        figures=[],
    )  # fmt: skip
    words = _visible(tmp_path / "report.html")
    assert "2 images, 1 refused" in words
    page = words.partition("Provenance ")[2]  # after the list of sections
    assert page.startswith("No result gone on photos: no image was coded Everything else")
    assert "jpeg on photos" not in words
    assert "visual[0] is left out: a reason" in words
    assert "avif no libavif" in words
    assert "photos bad0 not an image" in words
    assert "are missing from the averages above" not in words


@pytest.mark.parametrize(
    ("made_by", "shown"),
    [
        (("a1", "a1"), []),
        (("b2", "a1"), ["a1 encode 1 photos.jpeg.1", "a1 report 1 all", "b2 encode 1"]),
        (("b2", "b2"), ["b2 encode 2 photos.jpeg.0, photos.jpeg.1", "a1 report 1 all"]),
    ],
)
def test_a_report_of_mixed_revisions_names_what_each_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_by: tuple[str, ...], shown: list[str]
) -> None:
    """The revision of every job is read from its log; the report itself is one of them."""
    files = []
    for number, revision in enumerate(made_by):
        log = tmp_path / f"{number}.log"
        monkeypatch.setenv("ICMBENCH_REVISION", revision)
        logged = subprocess.run(
            [sys.executable, "-c", "from icmbench.core.joblog import log_to\n"
             f"with log_to({str(log)!r}):"
             " print('revision x9')"],
            check=False,
        )  # fmt: skip
        assert logged.returncode == 0
        files.append(("encode", tmp_path / f"photos.jpeg.{number}.tsv", log))
    table = revisions_table(files)
    assert sorted(table["revision"]) == sorted(made_by)
    write_csv(table, tmp_path / "revisions.csv")
    write_csv(_failures(), tmp_path / "failures.csv")
    write_csv(rd_table(), tmp_path / "rd.csv")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "manifest.csv").write_text("image,annotation,split,status\na,,test,ok\n")
    monkeypatch.setenv("ICMBENCH_REVISION", "a1")
    contents.assemble_report(
        tmp_path / "report.html",
        config={"weights": "", "metrics": ["psnr_rgb"], "codecs": {"jpeg": {}},
                "downloads": "downloads",
                "datasets": {"photos": {}}, "anchors": ["jpeg"], "tasks": {}, "split": "test"},
        units=[("photos", "jpeg")],
        notices=[],
        unavailable={},
        tables=[
            (tmp_path / f"{entry.name}.csv", Text(entry.name, entry.title))
            for entry in TABLES
            if entry.name in ("revisions", "failures", "rd")
        ],
        manifests=[tmp_path / "photos" / "manifest.csv"],
        comparison={},
        provenance={"revision": "a1"},
        figures=[],
    )  # fmt: skip
    words = _visible(tmp_path / "report.html")
    assert ("Revisions of the code" in words) == bool(shown)
    assert words.count("2 revisions: see the table of revisions") == 2 * bool(shown)
    for text in shown:
        assert text in words, text


def test_a_log_without_a_revision_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "old.log").write_text("2026-01-01 INFO start on n2, Slurm job 7\nrevision x9\n")
    files = [("encode", Path("a.tsv"), tmp_path / "old.log"), ("decode", Path("all.tsv"), None)]
    assert revisions_table(files)["revision"].tolist() == ["unknown", "unknown"]


def test_report_refuses_a_figure_that_was_never_saved(tmp_path: Path) -> None:
    gone = ReportFigure(tmp_path / "gone", "t", "c", "g")
    with pytest.raises(MeasurementError, match="missing"):
        build_report(
            tmp_path / "r.html", title="t", tables={}, texts={}, figures=[gone], contact_sheets=[],
            provenance={}, missing_metrics={}, comparison_notes=[], failures=_failures(),
        )  # fmt: skip
    assert not (tmp_path / "r.html").exists()


@pytest.fixture(scope="module")
def browser(report: Path) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("Chromium and its driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                 "--window-size=1280,900", "--force-prefers-reduced-motion"):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    from selenium.webdriver.chrome.service import Service

    page = webdriver.Chrome(options=options, service=Service(driver))
    page.get(report.as_uri())
    yield page
    page.quit()


def _column(browser: Any, name: str) -> list[str]:
    script = """
      const table = document.getElementById("data-rd");
      const k = [...table.tHead.rows[0].cells].findIndex(c => c.dataset.column === arguments[0]);
      return [...table.tBodies[0].rows].filter(r => !r.hidden).map(r => r.cells[k].dataset.v
        ?? r.cells[k].textContent);"""
    return list(browser.execute_script(script, name))


@pytest.mark.browser
def test_click_through_sorting(browser: Any) -> None:
    head = browser.find_element("css selector", '#data-rd th[data-column="bpp"]')
    button = head.find_element("tag name", "button")
    expected = sorted(rd_table()["bpp"])
    button.click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert [float(v) for v in _column(browser, "bpp")] == expected
    button.click()
    assert head.get_attribute("aria-sort") == "descending"
    # As text, 13.5 would stand between 1.1 and 2.2.
    assert [float(v) for v in _column(browser, "bpp")] == expected[::-1]
    psnr = browser.find_element("css selector", '#data-rd th[data-column="psnr"] button')
    psnr.click()
    assert _column(browser, "psnr")[-1] == "inf"
    assert head.get_attribute("aria-sort") is None


@pytest.mark.browser
def test_click_through_empty_cells_stay_last(browser: Any) -> None:
    head = browser.find_element("css selector", '#data-bd_rate th[data-column="bd_rate"] button')
    for expected in (["\u221223.1", "+50.0", ""], ["+50.0", "\u221223.1", ""]):
        head.click()
        rows = browser.find_elements("css selector", "#data-bd_rate tbody tr")
        assert [r.find_elements("tag name", "td")[4].text.split("\n")[0] for r in rows] == expected


@pytest.mark.browser
def test_click_through_filters(browser: Any) -> None:
    from selenium.webdriver.support.ui import Select

    Select(
        browser.find_element("css selector", 'select[data-filter="rd"][data-column="family"]')
    ).select_by_value("webp")
    assert set(_column(browser, "family")) == {"webp"}
    assert len(_column(browser, "codec")) == 3
    find = browser.find_element("css selector", 'input[data-filter="rd"]')
    find.send_keys("SCALE")
    assert _column(browser, "codec") == ["webp:quality=80,scale=0.5"]
    assert browser.find_element("id", "count-rd").text == "1 of 8 rows"


@pytest.mark.browser
def test_click_through_figure_and_links(browser: Any) -> None:
    viewer = browser.find_element("id", "viewer")
    assert not viewer.is_displayed()
    browser.find_element("css selector", "#figure-1 .enlarge").click()
    assert viewer.is_displayed()
    loaded = "return document.getElementById('viewer-image').naturalWidth"
    assert browser.execute_script(loaded) > 0
    link = browser.find_element("id", "viewer-save").get_attribute("href")
    assert unquote(link.partition(",")[2]).lstrip().startswith("<?xml")
    table = browser.find_element("css selector", '[data-csv="rd"]').get_attribute("href")
    assert unquote(table.partition(",")[2]) == csv_text(rd_table())
    browser.find_element("css selector", "#viewer form button").click()
    assert not viewer.is_displayed()
    for anchor in browser.find_elements("css selector", "nav a"):
        target = anchor.get_attribute("href").partition("#")[2]
        assert browser.find_elements("id", target), target


@pytest.mark.browser
def test_page_loads_every_picture_and_logs_nothing(browser: Any) -> None:
    broken = "return [...document.images].filter(i => i.src && !i.naturalWidth).map(i => i.id)"
    assert browser.execute_script(broken) == []
    assert browser.title == "A run & its numbers"
    names = "return performance.getEntriesByType('resource').map(e => e.name)"
    assert all(name.startswith("data:") for name in browser.execute_script(names))
    assert browser.get_log("browser") == []


@pytest.mark.browser
def test_page_fits_a_phone(browser: Any) -> None:
    metrics = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    widths = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    # A wide figure keeps its letters readable inside a box that scrolls; a small one stays small.
    figure, sheet = browser.execute_script(
        "return ['figure-1', 'sheet-1'].map(id => { const f = document.getElementById(id),"
        "  pan = f.querySelector('.pan'), image = f.querySelector('img');"
        "  return [image.getBoundingClientRect().width, pan.clientWidth, pan.scrollWidth]; })"
    )
    cells = browser.execute_script(
        "return [...document.querySelectorAll('#data-rd td.key')]"
        "  .map(c => [c.getBoundingClientRect().width, c.title === c.textContent])"
    )
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert widths == [400, 400]
    assert figure[0] >= 680
    assert figure[1] < 400 < figure[2]
    assert sheet[0] < 400
    assert all(width < 150 and titled for width, titled in cells)


@pytest.mark.parametrize("text", ["$5_$10.png", "a$b$c", "$\\frac{", "100$", "\\$x\\$ $^2$"])
def test_names_are_no_formulas(text: str, tmp_path: Path) -> None:
    """Two dollars without a syntax error would change the text silently."""
    figure = placeholder(text, f"{text} is missing")
    for path in save(figure, tmp_path / "f"):
        assert path.stat().st_size
    assert all(not found.get_parse_math() for found in figure.texts)


def test_the_policy_allows_one_script(report: Path) -> None:
    """Escaping is not the only line of defence."""
    text = report.read_text("utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy
    assert f"script-src 'sha256-{digest}'" in policy[1].replace("&#39;", "'")
    assert "unsafe-inline" not in policy[1].partition("script-src")[2]
    assert not re.search(r"<[^>]+\son\w+\s*=", text), "handlers in attributes would not run"


@pytest.mark.browser
def test_no_other_script_runs(report: Path, browser: Any, tmp_path: Path) -> None:
    """A script that came through the escaping; then the page as it is, for the next test."""
    page = tmp_path / "planted.html"
    planted = "<script>document.title = 'RAN'</script><img src=x onerror=\"document.title='RAN'\">"
    page.write_text(report.read_text("utf-8").replace("<main", f"{planted}<main", 1), "utf-8")
    assert planted in page.read_text("utf-8")
    before = browser.current_url
    browser.get(page.as_uri())
    assert browser.title == "A run & its numbers"
    head = '#data-rd th[data-column="bpp"]'
    browser.find_element("css selector", f"{head} button").click()
    assert _column(browser, "bpp") == sorted(_column(browser, "bpp"), key=float)
    assert browser.get_log("browser")  # the browser tells what it has blocked
    browser.get(before)


def test_figures_go_where_their_rule_declares_them() -> None:
    outputs = ["r/tables/t.csv", "r/figures/visual_0.png", "r/figures/objects_d.task.svg"]
    assert declared_stem(outputs, "visual_0") == Path("r/figures/visual_0")
    assert declared_stem(outputs, "objects_d.task") == Path("r/figures/objects_d.task")
    with pytest.raises(MeasurementError, match="visual_1"):
        declared_stem(outputs, "visual_1")
