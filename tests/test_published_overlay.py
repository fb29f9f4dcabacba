"""Published points in a run: agreement with its data sets and metrics, tables and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from figure_checks import assert_no_overlap, words
from matplotlib.figure import Figure

from icmbench.config.plan import Plan
from icmbench.config.published import unmatched_points
from icmbench.config.run import make_run
from icmbench.core.errors import ConfigError, MeasurementError
from icmbench.jobs.published_tables import published_tables
from icmbench.metrics import METRICS
from icmbench.reporting.figures.rd_curves import rd_curves
from icmbench.reporting.figures.task_curves import task_curves
from icmbench.reporting.published.overlay import DEFAULT, SetOfRun, agreeing
from icmbench.reporting.published.points import Point, shipped_points, write_points
from icmbench.reporting.tables.published import COLUMNS as TABLE
from icmbench.reporting.tables.published import published_bd_rates, published_table

KEY = ("VTM", "kodak", "psnr_rgb")


def rows_of(entries: Sequence[str] = DEFAULT, **sets: Any) -> list[dict[str, Any]]:
    found = {
        name: one if isinstance(one, SetOfRun) else SetOfRun(one, {}) for name, one in sets.items()
    }
    return agreeing(entries, found, ["psnr_rgb", "lpips"])


def test_points_agree_by_data_set_and_metric() -> None:
    rows = rows_of(mine="kodak", other="")
    assert {row["dataset"] for row in rows} == {"mine"}
    assert {row["codec"] for row in rows} == {*DEFAULT}
    assert {row["metric"] for row in rows} == {"psnr_rgb", "lpips"}
    vtm = [row for row in rows if row["codec"] == "VTM"]
    assert [row["bpp"] for row in vtm] == sorted(
        p.bpp for p in shipped_points() if (p.codec, p.dataset, p.metric) == KEY
    )
    assert rows_of(kodak="", photos="") == []
    assert rows_of([], kodak="kodak") == []
    assert {row["codec"] for row in rows_of(["ELIC"], kodak="kodak")} == {"ELIC"}


def test_points_of_a_task_agree_by_model() -> None:
    models = {"boxes": "faster-rcnn_r50_fpn_1x_coco", "other": "yolox_nano"}
    rows = rows_of(["SA-ICM"], coco=SetOfRun("coco2017-val", models))
    assert {(row["task"], row["metric"]) for row in rows} == {("boxes", "box_map")}
    assert [row["value"] for row in rows] == [0.332, 0.343, 0.35, 0.353, 0.357]
    assert rows_of(["SA-ICM"], coco=SetOfRun("", models)) == []


def own_file(path: Path, **changes: Any) -> Path:
    point = Point("Mine", "mine", 0.5, "psnr_rgb", 30.0, "paper", "table", "estimated")
    given = {**vars(point), **changes}
    write_points([Point(**given), Point(**{**given, "bpp": 0.7, "value": 32.0})], path)
    return path


def test_an_own_file_may_name_a_data_set_of_the_run(tmp_path: Path) -> None:
    path = own_file(tmp_path / "mine.csv")
    rows = rows_of([str(path)], mine="", kodak="kodak")
    assert [(row["dataset"], row["codec"], row["bpp"]) for row in rows] == [
        ("mine", "Mine", 0.5), ("mine", "Mine", 0.7),
    ]  # fmt: skip
    whole = own_file(tmp_path / "kodak.csv", dataset="kodak")
    assert {row["dataset"] for row in rows_of([str(whole)], photos="kodak")} == {"photos"}


def plan_of(**changes: Any) -> Plan:
    config = {
        "datasets": {"kodak": {"path": "photos"}},
        "codecs": {"jpeg": {"points": [{"quality": [10, 50]}]}},
        "metrics": ["psnr_rgb", "ms_ssim"],
    }
    return Plan(make_run({**config, **changes}))


def test_a_plan_has_published_tables_of_whole_sets_alone() -> None:
    plan = plan_of()
    assert {row["codec"] for row in plan.published} == {*DEFAULT}
    names = [one.name for one in plan.made("table")]
    assert names.index("published") + 1 == names.index("published_bd_rate")
    for other in (
        {"datasets": {"kodak": {"path": "photos", "limit": 23}}},
        {"datasets": {"scenes": {"test": 2}}},
        {"published": []},
        {"metrics": ["ssim"]},
    ):
        assert plan_of(**other).published == []
        assert "published" not in {one.name for one in plan_of(**other).made("table")}
    default = Plan(make_run(yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))))
    assert default.published == []


def test_mistakes_in_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"published: unknown published codec .*'VTN': did you mean"
    ):
        plan_of(published=["VTN"])
    with pytest.raises(MeasurementError, match=r"published: .*lost\.csv: no such file"):
        plan_of(published=[str(tmp_path / "lost.csv")])
    (tmp_path / "rd.csv").write_text("codec,bpp\nJPEG,1\n")
    with pytest.raises(MeasurementError, match=r"rd\.csv: the first line is not codec,dataset"):
        plan_of(published=[str(tmp_path / "rd.csv")])
    path = own_file(tmp_path / "vtm.csv", codec="VTM", dataset="kodak")
    with pytest.raises(ConfigError, match=r"'VTM' of .*vtm\.csv is also named: rename"):
        plan_of(published=["VTM", str(path)])
    assert {row["codec"] for row in plan_of(published=["BPG", str(path)]).published} == {
        "BPG",
        "VTM",
    }


def test_an_own_codec_that_is_drawn_nowhere_is_announced(tmp_path: Path) -> None:
    path = own_file(tmp_path / "mine.csv", dataset="kodak", metric="ssimulacra2")
    assert unmatched_points(plan_of(published=["VTM", str(path)])) == [
        f"published: Mine of {path} is drawn nowhere: this run has no whole data set kodak with "
        "ssimulacra2"
    ]
    assert unmatched_points(plan_of(published=[str(path)], metrics=["ssimulacra2"])) == []
    assert unmatched_points(plan_of(published=["ELIC"], metrics=["ssimulacra2"])) == []


# ----- tables


def rd_frame(**values: Mapping[float, float]) -> pd.DataFrame:
    """rd.csv of a data set `kodak`: by codec entry, PSNR by rate."""
    rows = [
        {"dataset": "kodak", "codec": f"{family}:quality={n}", "family": family, "images": 24,
         "failed": 0, "bpp": bpp, "psnr_rgb": value}
        for family, points in values.items()
        for n, (bpp, value) in enumerate(points.items())
    ]  # fmt: skip
    return pd.DataFrame(rows)


def published_frame(points: Mapping[float, float], **changes: Any) -> pd.DataFrame:
    row = {"dataset": "kodak", "codec": "VTM", "task": "", "metric": "psnr_rgb", "bits": "real",
           "source": "paper", "how_read": "table"}  # fmt: skip
    rows = [{**row, "bpp": bpp, "value": value, **changes} for bpp, value in points.items()]
    images = {row["dataset"]: 24 for row in rows}
    return published_table(rows, images, images)


CURVE = {0.1: 28.0, 0.2: 30.0, 0.4: 32.5, 0.8: 35.0}


def test_bd_rates_against_a_published_curve() -> None:
    rd = rd_frame(
        webp={1.25 * bpp: value for bpp, value in CURVE.items()},
        identity={4.0: np.inf},
        far={1.0: 50.0, 2.0: 55.0},
    )
    published = published_frame(CURVE, bits="estimated", how_read="table; of luma")
    table = published_bd_rates(published, rd, None, {"psnr_rgb": True}, min_overlap=0.25)
    rows = table.set_index("family")
    assert list(rows.index) == ["far", "webp"]
    assert rows.loc["webp", "bd_rate"] == pytest.approx(0.25, abs=1e-9)
    assert rows.loc["webp", ["overlap", "points", "published_points"]].tolist() == [1, 4, 4]
    assert rows.loc["webp", ["published", "bits", "source"]].tolist() == [
        "VTM",
        "estimated",
        "paper",
    ]
    assert rows.loc["webp", "note"] == "of luma"
    assert np.isnan(rows.loc["far", "bd_rate"])
    assert rows.loc["far", "note"] == "2 Pareto points; the curves do not overlap; of luma"
    assert rows.loc["webp", ["quality_low", "quality_high"]].tolist() == [28, 35]
    assert rows.loc["webp", "specs"].split() == [f"webp:quality={n}" for n in range(4)]
    assert not {"lo", "hi", "anchor", "anchor_specs"} & {*table}


def test_bd_rates_of_a_distance_and_of_a_task() -> None:
    rd = rd_frame(webp=CURVE).rename(columns={"psnr_rgb": "lpips"})
    rd["lpips"] = 1 / rd["lpips"]
    rising = {0.5 * bpp: 1 / value for bpp, value in CURVE.items()}
    table = published_bd_rates(
        published_frame(rising, metric="lpips"), rd, None, {"lpips": False}, min_overlap=0.25
    )
    assert table["bd_rate"].tolist() == pytest.approx([1.0])
    tasks = rd_frame(webp=CURVE).rename(columns={"psnr_rgb": "value"})
    tasks = tasks.assign(task="boxes", metric="box_map")
    published = published_frame(CURVE, metric="box_map", task="boxes")
    table = published_bd_rates(published, rd, tasks, {"box_map": True}, min_overlap=0.25)
    assert table[["task", "bd_rate"]].to_numpy().tolist() == [["boxes", pytest.approx(0.0)]]


def test_a_data_set_with_images_left_out_has_no_published_points(tmp_path: Path) -> None:
    rows = [{**row, "bpp": float(row["bpp"])} for row in published_frame(CURVE).to_dict("records")]
    out = {name: tmp_path / f"{name}.csv" for name in ("table", "bd_rate")}
    for images, count in ((24, 4), (23, 0)):
        rd_frame(webp=CURVE).assign(images=images).to_csv(tmp_path / "rd.csv", index=False)
        published_tables(
            rows=rows, images={"kodak": 24}, comparison={"min_overlap": 0.25}, tasks=[],
            rd=tmp_path / "rd.csv", **out,
        )  # fmt: skip
        written = pd.read_csv(out["table"])
        assert list(written) == list(TABLE)
        assert len(written) == count
        assert len(pd.read_csv(out["bd_rate"])) == bool(count)


# ----- figures


def curves_of(figure: Figure) -> dict[str, Any]:
    return {line.get_label(): line for axes in figure.axes for line in axes.get_lines()}


def test_published_curves_are_dashed_hollow_and_inside_the_axes() -> None:
    rd = rd_frame(webp=CURVE, jpeg={2 * bpp: value for bpp, value in CURVE.items()})
    above = {bpp: value + 4 for bpp, value in CURVE.items()} | {20.0: 60.0}
    published = pd.concat([
        published_frame(above, how_read="table; of luma"),
        published_frame(CURVE, codec="BPG", bits="estimated"),
        published_frame(CURVE, codec="Other", dataset="photos"),
    ])  # fmt: skip
    metrics = [METRICS["psnr_rgb"]]
    plain, drawn = (rd_curves(rd, "kodak", metrics, published=p) for p in (None, published))
    assert "published" not in words(plain)
    lines = curves_of(drawn)
    assert {n for n in lines if "published" in n} == {"VTM (published)", "BPG (published)"}
    for name in ("VTM (published)", "BPG (published)"):
        assert lines[name].get_markerfacecolor() == "none"
        assert lines[name].is_dashed()
    _, high = drawn.axes[0].get_ylim()
    assert 39 < high < 45  # the value at 20 bpp, beyond the rates of ours, stretches no axis
    assert drawn.axes[0].get_xlim() == plain.axes[0].get_xlim()
    alone = rd_curves(rd, "kodak", metrics, published=published[published["codec"] != "Other"])
    more = published.assign(codec=published["codec"].replace("Other", "AAA"))
    again = curves_of(rd_curves(rd, "kodak", metrics, published=more))["VTM (published)"]
    assert again.get_color() != curves_of(alone)["VTM (published)"].get_color()  # of all data sets
    text = words(drawn)
    assert "VTM\u2020 (published)" in text
    assert "BPG (published, estimated bits)" in text
    assert "\u2020\u00a0VTM: of luma." in text
    assert_no_overlap(drawn)


def test_curves_that_no_axis_reaches_are_named_in_the_note_alone() -> None:
    rd = rd_frame(webp=CURVE)
    far = {10 * bpp: value for bpp, value in CURVE.items() if bpp > 0.1}
    across = {0.001: 10.0, 20.0: 50.0}  # its line crosses the axes
    for points, metric in ((far, "psnr_rgb"), (CURVE, "ssim")):
        published = pd.concat([
            published_frame(points, metric=metric, codec="Far"),
            published_frame(across, codec="Across", how_read="table; of luma"),
        ])  # fmt: skip
        metrics = [METRICS["psnr_rgb"], METRICS["ssim"]]
        rd = rd.assign(ssim=np.nan)
        text = words(rd_curves(rd, "kodak", metrics, published=published))
        assert "Across\u2020 (published)" in text
        assert "Far (published" not in text
        assert "sources in published.csv. Beyond them: Far." in text
        alone = published[published["codec"] == "Far"]
        text = words(rd_curves(rd, "kodak", metrics, published=alone))
        assert "Published curves beyond the axes: Far." in text
        assert "(published" not in text


def test_task_curves_have_published_points_of_their_task() -> None:
    rows = rd_frame(webp={bpp: value / 100 for bpp, value in CURVE.items()})
    tasks = rows.rename(columns={"psnr_rgb": "value"}).assign(
        task="boxes", metric="box_map", model="m", lo=np.nan, hi=np.nan, ceiling=0.4
    )
    points = {bpp: value / 100 for bpp, value in CURVE.items()}
    for task, count in (("boxes", 1), ("other", 0)):
        published = published_frame(points, metric="box_map", task=task, codec="SA-ICM")
        figure = task_curves(tasks, "kodak", "boxes", published=published)
        assert sum("SA-ICM" in name for name in curves_of(figure)) == count
        assert ("SA-ICM" in words(figure)) == bool(count)
