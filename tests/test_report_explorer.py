"""The report to explore holds the tables' numbers and the archives' pixels, and nothing of others.

The page in a browser: test_report_browser.py.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import explored_run
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from icmbench.codecs.external import NOT_OURS
from icmbench.core.errors import MeasurementError
from icmbench.reporting.catalogue import EXPLORED, FIGURES
from icmbench.reporting.figures import published_curves, style
from icmbench.reporting.report import library
from icmbench.reporting.report.chart_styles import SYMBOLS, chart_styles, published_chart_styles
from icmbench.reporting.report.charts import rate_chart, task_chart
from icmbench.reporting.report.pictures import ReportFigure, figure_picture
from icmbench.reporting.report.report_tables import csv_text
from icmbench.reporting.report.viewer import viewer_data
from icmbench.studies.visuals import Matched, write_viewer_images

FAMILY, SPEC, BPP, VALUE, ON, HOLLOW = 0, 1, 2, 5, 8, 9


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return explored_run.build(tmp_path_factory.mktemp("explored")).read_text("utf-8")


def _metric(view: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [metric for metric in view["metrics"] if metric["name"] == name]
    return dict(found)


def test_charts_hold_the_rows_of_the_table() -> None:
    rd = explored_run.rd_table()
    chart = rate_chart(rd, explored_run.SHOWN, timing=explored_run.timing_table())
    assert [view["name"] for view in chart.views] == ["photos", "scenes"]
    for view in chart.views:
        rows = rd[(rd["dataset"] == view["name"]) & (rd["family"] != "identity")]
        for name in explored_run.METRIC_NAMES:
            columns = ["family", "codec", "bpp", "bpp_lo", "bpp_hi", name, f"{name}_lo",
                       f"{name}_hi"]  # fmt: skip
            points = pd.DataFrame([p[:8] for p in _metric(view, name)["points"]], columns=columns)
            expected = rows[columns].sort_values(columns, ignore_index=True)
            pd.testing.assert_frame_equal(points.sort_values(columns, ignore_index=True), expected)
    psnr, gmsd = (_metric(chart.views[0], name) for name in explored_run.METRIC_NAMES)
    off = {(m["name"], p[SPEC]) for m in (psnr, gmsd) for p in m["points"] if not p[ON]}
    assert off == {("psnr_rgb", "jpeg:quality=50"), ("gmsd", "jpeg:quality=50")}
    assert {p[SPEC] for p in psnr["points"] if p[HOLLOW]} == {"webp:quality=80,scale=0.5"}
    assert (psnr["higher"], gmsd["higher"], psnr["unit"]) == (True, False, "dB")


def test_seconds_are_per_megapixel_and_only_where_they_were_measured() -> None:
    views = rate_chart(
        explored_run.rd_table(), explored_run.SHOWN, timing=explored_run.timing_table()
    ).views
    encode = _metric(views[0], "encode")
    assert [(p[SPEC], p[BPP], p[VALUE], p[6], p[7]) for p in encode["points"]] == [
        ("jpeg:quality=10", 0.25, 0.02, 0.018, 0.022),
        ("jpeg:quality=90", 2.2, 0.04, 0.036, 0.044),
        ("webp:quality=20", 0.2, 0.2, 0.18, 0.22),
    ]
    assert encode["log"]
    assert "encode" not in {metric["name"] for metric in views[1]["metrics"]}


def test_a_metric_without_values_and_an_infinite_one_are_no_points() -> None:
    rd = explored_run.rd_table().assign(gmsd=math.nan)
    rd.loc[0, "psnr_rgb"] = math.inf
    view = rate_chart(rd, explored_run.SHOWN).views[0]
    assert [metric["name"] for metric in view["metrics"]] == ["psnr_rgb"]
    assert "jpeg:quality=10" not in {p[SPEC] for p in view["metrics"][0]["points"]}
    empty = rate_chart(rd.assign(psnr_rgb=math.nan), explored_run.SHOWN).views[0]
    assert empty["metrics"] == []


def test_tasks_have_their_ceiling() -> None:
    (view,) = task_chart(explored_run.tasks_table()).views
    miou = _metric(view, "miou")
    assert view["name"] == "segmentation on scenes"
    assert miou["ceiling"] == 0.7
    assert miou["range"][1] > 0.7
    assert len(miou["points"]) == 4


def test_published_points_stand_apart_where_data_set_and_metric_agree() -> None:
    chart = rate_chart(
        explored_run.rd_table(), explored_run.SHOWN, published=explored_run.published_table()
    )
    photos, scenes = chart.views
    found = _metric(photos, "psnr_rgb")["published"]
    assert [(p["codec"], p["bpp"], p["value"]) for p in found] == [
        ("VTM", 0.3, 32.0), ("VTM", 0.9, 36.0)]  # fmt: skip
    assert "VTM" not in {p[FAMILY] for p in _metric(photos, "psnr_rgb")["points"]}
    others = [_metric(photos, "gmsd"), *scenes["metrics"]]
    assert all(metric["published"] == [] for metric in others)
    assert "Dashed, hollow: published" in photos["note"]
    assert "published" not in scenes["note"]
    (look,) = published_chart_styles(explored_run.published_table()).values()
    assert look["dash"]
    assert look["label"] == "VTM (published, estimated bits)"


def test_styles_are_those_of_the_figures() -> None:
    markers = {known.marker for known in style.KNOWN.values()} | set(style._MARKERS)
    markers |= {*published_curves._MARKERS, style.FOREIGN}
    assert markers <= SYMBOLS.keys()
    assert len({SYMBOLS[marker] for marker in markers}) == len(markers)
    families = [*style.KNOWN, "a", "b"]
    found = chart_styles(families, {"a": "legend"})
    assert {name: each["colour"] for name, each in found.items()} == {
        name: each.colour for name, each in style.family_styles(families).items()
    }
    assert found["a"]["label"] == "legend"
    foreign = chart_styles(["jpeg", "theirs"], {"theirs": f"theirs ({NOT_OURS})"})
    assert (foreign["theirs"]["symbol"], foreign["jpeg"]["symbol"]) == ("cross-thin", "circle")
    assert found["jpeg"]["dash"] == ""
    # In points of a line 1.4 wide: five on, two off.
    assert found["jpeg2000"]["dash"] == "7,2.8"
    looks = {(each["colour"], each["marker"], each["dash"]) for each in found.values()}
    assert len(looks) == len(found)


def _decoded(address: str) -> np.ndarray:
    data = base64.b64decode(address.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize(("budget", "side"), [(10_000_000, 128), (60_000, 96), (100, 64)])
def test_crops_are_the_archives_pixels(tmp_path: Path, budget: int, side: int) -> None:
    """Whole where the image fits, else the largest square that does."""
    path = tmp_path / "v.zip"
    write_viewer_images(explored_run.matched(), path)
    (image,) = viewer_data([path], budget)
    left, top, width, height = image["crop"]
    assert (width, height) == (side, side)
    whole = explored_run.archived(path)
    assert [entry["family"] for entry in image["entries"]] == ["original", "jpeg", "webp"]
    for entry in image["entries"]:
        part = whole[entry["family"]][top : top + height, left : left + width]
        assert np.array_equal(_decoded(entry["source"]), part), entry["family"]
    assert not np.array_equal(whole["jpeg"], whole["webp"])
    spent = sum(len(entry["source"]) for entry in image["entries"])
    assert spent <= budget + 100 or side == 64
    assert image["entries"][1]["values"] == {"psnr_rgb": 25.5, "gmsd": 0.2, "ssim": None}
    assert image["left_out"] == ["mpd"]


def test_archives_equal_the_decoded_images_and_each_other(tmp_path: Path) -> None:
    given = explored_run.matched()
    for name in ("a", "b"):
        write_viewer_images(given, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    found = explored_run.archived(tmp_path / "a")
    assert np.array_equal(found["original"], given.original)
    assert all(np.array_equal(found[each.family], each.image) for each in given.entries)


def test_images_without_reconstructions_are_left_out_of_the_viewer(tmp_path: Path) -> None:
    refused = Matched("photos", "a", 0.2, None, [], [], [], refused="truncated file")
    write_viewer_images(refused, tmp_path / "refused")
    whole = explored_run.matched()
    alone = Matched("photos", "b", 9.0, whole.original, [], [], ["jpeg"])
    write_viewer_images(alone, tmp_path / "alone")
    assert viewer_data([tmp_path / "refused", tmp_path / "alone"]) == []
    assert explored_run.explorer([tmp_path / "refused"]).viewer == ""
    with pytest.raises(MeasurementError, match="gone"):
        viewer_data([tmp_path / "gone"])


def _unpacked(page: str, name: str) -> str:
    """A packed text of the page."""
    (packed,) = re.findall(rf'<script type="text/plain" id="{name}">(.*?)</script>', page, re.S)
    return gzip.decompress(base64.b64decode(packed)).decode()


def test_data_are_packed_and_cannot_leave_their_script_element(page: str) -> None:
    assert explored_run.HOSTILE not in page
    data = json.loads(_unpacked(page, "packed"))
    assert data["charts"][0]["views"][0]["metrics"][0]["published"][0]["source"] == (
        explored_run.HOSTILE
    )
    assert data["styles"]["jpeg"]["label"] == "JPEG & co"
    assert data["csv"].keys() == {"rd"}
    assert data["csv"]["rd"] == csv_text(explored_run.rd_table())


def test_the_policy_allows_the_page_and_the_library_by_their_digests(page: str) -> None:
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    scripts = re.findall(r"<script>(.*?)</script>", page, re.S)
    plotly = _unpacked(page, "library")
    assert "plotly.js" in plotly[:100]
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
               for script in (*scripts, plotly)]  # fmt: skip
    assert len(scripts) == 1
    allowed = re.findall(r"sha256-([\w+/=]+)", policy)
    assert allowed == digests
    assert "unsafe" not in policy.partition("script-src")[2]
    assert "default-src 'none'" in policy.replace("&#39;", "'")
    assert "MIT License" in page
    assert "Permission is hereby granted" in page


def test_a_library_without_its_licence_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library.importlib.metadata, "files", lambda name: [])
    with pytest.raises(MeasurementError, match="licence"):
        library.plotly_library()


def test_replaced_figures_are_files_beside_the_page(page: str) -> None:
    """One is embedded for readers without JavaScript; of the other the vectors are packed."""
    for name in ("rd_photos", "other"):
        for kind in ("svg", "pdf", "png"):
            assert f'href="figures/{name}.{kind}"' in page
    noscript = "".join(re.findall(r"<noscript>(.*?)</noscript>", page, re.S))
    assert noscript.count("data:image/webp") == page.count("data:image/webp") == 1
    assert "runs no JavaScript" in noscript
    (vectors,) = json.loads(_unpacked(page, "packed"))["figures"].values()
    assert "</svg>" in vectors
    assert page.index("Others</h2>") > page.index("RD curves</h2>")


def test_a_figure_of_photographs_is_a_small_picture(tmp_path: Path) -> None:
    """Its vectors would hold every pixel."""
    noise = np.random.default_rng(1).integers(0, 256, (800, 1600, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    (tmp_path / "a.svg").write_bytes(b"<svg>" + base64.b64encode(noise.tobytes()) + b"</svg>")
    figure = ReportFigure(tmp_path / "a.png", "t", "c", "g")
    picture = figure_picture(1, figure, tmp_path)
    assert picture.vectors == ""
    assert _decoded(picture.source).shape == (480, 960, 3)
    assert (picture.width, picture.height) == (1600, 800)
    (tmp_path / "a.svg").write_text("<svg>drawn</svg>")
    assert figure_picture(1, figure, tmp_path).vectors == "<svg>drawn</svg>"
    assert figure_picture(1, figure, tmp_path, pixels=True).vectors == ""


def test_figures_are_replaced_by_sections_that_exist() -> None:
    replaced = {figure.name: figure.explored for figure in FIGURES if figure.explored}
    assert set(replaced.values()) == set(EXPLORED)
    assert replaced.keys() >= {"rd_{dataset}", "visual_{n}", "task_curves_{dataset}.{task}"}
