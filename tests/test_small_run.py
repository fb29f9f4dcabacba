"""One small run of Snakemake with everything in it that a user may bring, and its results.

Names that read as numbers, missing values or formulas; a plug-in's codec; codecs that raise and
crash; an image that is none; an embedded codec; a task with an exported network.
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, make_picture
from PIL import Image
from running import snakemake, succeed
from test_onnx_tasks import colour_network

from icmbench.bitstream import container
from icmbench.codecs.mpd.model_folder import bundled
from icmbench.codecs.mpd.stream.coder import sections_of_state
from icmbench.core.images.image_files import write_png

pytestmark = pytest.mark.workflow

SIZES = {"001.png": 40, "NA.png": 42, "$5_$10.png": 50, "1e3.png": 44, "tall.png": 41}
CRASHED = "tall.png"  # the image of 41 rows, on which the codec `crashes` does
PIXELS = {name: 48 * height for name, height in SIZES.items()}
BAD = ("raises-on-all", "crashes")
EMPTY = "raises-on-all"


@dataclass
class Run:
    """A folder, its configuration, and what the first start of Snakemake printed."""

    folder: Path
    config: dict[str, Any]
    env: dict[str, str]
    first: subprocess.CompletedProcess[str]

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def table(self, name: str, index: str | None = None) -> pd.DataFrame:
        """A table in which names stay texts."""
        path = self.results / "tables" / f"{name}.csv"
        texts = dict.fromkeys(("dataset", "codec", "family", "task", "anchor", "against"), str)
        frame = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=texts)
        return frame if index is None else frame.set_index(index)


def configuration(folder: Path) -> dict[str, Any]:
    """Images, maps, a network, and the configuration that names them."""
    (folder / "maps").mkdir()
    for seed, (name, height) in enumerate({**SIZES, "broken.png": 40}.items()):
        write_png(folder / "images" / name, make_picture(height, 48, seed))
        labels = np.full((height, 48), seed % 2, np.uint8)
        Image.fromarray(labels).save(folder / "maps" / name)
    broken = b"\x89PNG\r\n\x1a\n and then nothing"
    (folder / "images" / "broken.png").write_bytes(broken)
    model = colour_network(folder / "net.onnx", ("h", "w"), pool=False)
    place = {"dataset": "001", "image": "$5_$10.png", "bpp": 1}
    return {
        "datasets": {
            "001": {
                "type": "semantic", "path": str(folder / "images"), "maps": str(folder / "maps"),
                "classes": ["null", "007"],
            }
        },
        "codecs": {
            "null": {"codec": "jpeg", "points": [{"quality": [10, 40, 60, 90]}]},
            "1e3": {"codec": "halftone", "points": [{"bits": [1, 2, 4, 8]}]},
            "mpd": {"points": [{"state": [7, 4, 0]}, {"state": 4, "decoder": "mean"}]},
            **{name: {"points": [{}]} for name in BAD},
        },
        "tasks": {
            "None": {
                "type": "onnx-segmenter", "model": str(model), "classes": ["null", "007", "NA"],
                "datasets": ["001"],
            }
        },
        "metrics": ["psnr_rgb", "psnr_y"],
        "anchors": ["null"],
        "bootstrap": {"resamples": 50, "bd_resamples": 20},
        "robustness": {"trials": 0},
        "visual": [place],
        "task_pictures": [{**place, "task": "None"}],
        "models": str(bundled().parent),
        "device": "cpu",
    }  # fmt: skip


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template of docs/new-codec, installed as a user would, into a folder of its own."""
    folder = tmp_path_factory.mktemp("plugin")
    source = tmp_path_factory.mktemp("source") / "new-codec"
    # A copy: building in place would leave files in the repository.
    subprocess.run(["cp", "-r", str(ROOT / "docs" / "new-codec"), str(source)], check=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation",
         "--disable-pip-version-check", "--target", str(folder), str(source)],
        check=True,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def started(plugin: Path, bad_codecs: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run as the configuration's default ends it: one codec has coded no image."""
    folder = tmp_path_factory.mktemp("run")
    config = configuration(tmp_path_factory.mktemp("given"))
    env = {"PYTHONPATH": f"{plugin}:{bad_codecs}"}
    return Run(folder, config, env, snakemake(folder, config, env=env, long=True))


@pytest.fixture(scope="module")
def run(started: Run) -> Run:
    """The same run, finished."""
    started.config = {**started.config, "fail_on": "never"}
    assert not (started.results / "verdict.json").exists()
    text = succeed(snakemake(started.folder, started.config, env=started.env))
    assert text.strip().splitlines()[-1].startswith("icmbench: incomplete (fail_on: never): ")
    # Nothing is made again but what states the verdict.
    made = set(re.findall(r"^(?:local)?rule (\w+):", text, re.M))
    assert "check_results" in made
    assert not made & {"encode", "decode", "measure", "predict", "rd_tables"}
    return started


def test_a_codec_without_results_fails_the_run(started: Run) -> None:
    """The verdict is the last line; everything else is made."""
    done = started.first
    assert done.returncode == 1, (done.stdout + done.stderr)[-4000:]
    last = (done.stderr if done.stderr.strip() else done.stdout).strip().splitlines()[-1]
    assert last.startswith("icmbench: FAILED (fail_on: empty): "), last
    assert f"{EMPTY} on 001: no image was coded (" in last
    assert "crashes" not in last
    assert (started.results / "tables" / "jobs.csv").exists()


def test_failures_are_rows_and_the_rest_is_complete(run: Run) -> None:
    rd = run.table("rd", "codec")
    # One image fails for one codec on less than a quarter of the images: nobody's mean has it.
    whole = rd.drop(EMPTY)
    assert (whole["images"] == len(SIZES) - 1).all()
    assert whole["bpp"].notna().all()
    assert rd["failed"].to_dict() == {
        codec: {"crashes": 1, EMPTY: len(SIZES)}.get(codec, 0) for codec in rd.index
    }
    assert rd.loc[EMPTY, "images"] == 0
    assert np.isnan(rd.loc[EMPTY, "bpp"])
    failures = run.table("failures")
    refused = failures[failures["status"] == "refused"]
    assert list(refused["first_image"]) == ["broken.png"]
    failures = failures[failures["status"] != "refused"].set_index("codec")
    assert set(failures.index) == set(BAD)
    assert failures.loc["crashes", "first_image"] == CRASHED
    assert "SIGSEGV" in failures.loc["crashes", "detail"]


def test_tables_have_their_columns(run: Run) -> None:
    rd = run.table("rd")
    head = ["dataset", "codec", "family", "images", "failed", "bpp", "bpp_lo", "bpp_hi"]
    assert list(rd.columns[:11]) == [*head, "psnr_rgb", "psnr_rgb_lo", "psnr_rgb_hi"]
    columns = ["dataset", "family", "anchor", "metric", "bd_rate", "lo", "hi", "overlap"]
    assert list(run.table("bd_rate").columns[:8]) == columns
    timing = run.table("timing")
    columns = ["encode_s", "encode_s_spread", "decode_s", "decode_s_spread"]
    assert list(timing.columns[:7]) == ["codec", "device", "images", *columns]
    assert (timing["encode_s"] > 0).all()
    jobs = run.table("jobs", "rule")
    used = jobs["max_mb"] / jobs["asked_mb"]
    assert jobs.loc["measure", "memory_used"] == pytest.approx(used["measure"], rel=1e-3)
    # Memory is sampled, and a job of a second may show its start alone: the largest job decides.
    assert 0 < jobs.loc["measure", "memory_used"] < 1
    assert 0.01 < jobs["memory_used"].max() < 1
    assert 0 < jobs.loc["measure", "time_used"] < 1
    assert jobs["hosts"].notna().all()
    assert jobs.loc["encode", "jobs"] == len(run.config["codecs"])
    assert {"dataset_shard", "decode", "measure", "predict", "rd_tables"} <= set(jobs.index)
    provenance = json.loads((run.results / "provenance.json").read_text())
    assert provenance["packages"]["numpy"] == np.__version__


def members(run: Run, codec: str) -> dict[str, dict[str, bytes]]:
    """encoding -> image -> stream, as unzip gives them."""
    found: dict[str, dict[str, bytes]] = {}
    with zipfile.ZipFile(run.results / "streams" / "001" / codec / "0.zip") as archive:
        for name in archive.namelist():
            found.setdefault(name.split("/")[0], {})[name.split("/", 1)[1]] = archive.read(name)
    return found


def mean_rate(sizes: dict[str, int]) -> float:
    """Mean bpp over the images that all codecs have coded."""
    named = {next(name for name in PIXELS if name in key): size for key, size in sizes.items()}
    return float(np.mean([8 * named[name] / PIXELS[name] for name in PIXELS if name != CRASHED]))


def test_rates_are_file_sizes(run: Run) -> None:
    """The RD table's bpp, recomputed from the streams with zip's own numbers."""
    rd = run.table("rd", "codec")
    streams = members(run, "null")
    for quality in (10, 40, 60, 90):
        sizes = {name: len(data) for name, data in streams[f"jpeg-quality{quality}"].items()}
        assert rd.loc[f"jpeg:quality={quality}", "bpp"] == pytest.approx(mean_rate(sizes), rel=1e-5)


def test_an_embedded_codec_codes_once(run: Run) -> None:
    """One stream per image; its states are that file, cut: their sizes stand in the stream."""
    rd = run.table("rd", "codec")
    (streams,) = members(run, "mpd").values()
    parsed = {name: container.parse(stream) for name, stream in streams.items()}
    assert len(parsed) == len(SIZES)
    for state in (7, 4, 0):
        codec = "mpd" if state == 0 else f"mpd:state={state}"
        sizes = {}
        for name, stream in parsed.items():
            cells = -(-stream.header.height // 8) * -(-stream.header.width // 8)
            sizes[name] = stream.ends[sections_of_state(cells, state) - 1]
        assert rd.loc[codec, "bpp"] == pytest.approx(mean_rate(sizes), rel=1e-5)
    # Decoders read the same file.
    assert rd.loc["mpd:state=4,decoder=mean", "bpp"] == rd.loc["mpd:state=4", "bpp"]


def test_names_survive(run: Run) -> None:
    families = set(run.config["codecs"])
    for table, left in (("rd", set()), ("timing", {EMPTY}), ("tasks", set())):
        frame = run.table(table)
        assert set(frame["family"]) == families - left, table
        assert set(frame.get("dataset", ["001"])) == {"001"}
    assert set(run.table("bd_rate")["anchor"]) == {"null"}
    for table in ("tasks", "tasks_bd_rate"):
        assert set(run.table(table)["task"]) == {"None"}
    compared = json.loads((run.results / "tables" / "comparison.json").read_text("utf-8"))
    assert sorted(compared["001"]["images"]) == sorted(set(SIZES) - {CRASHED})
    for name in ("rd_001", "rate_time_001", "bd_null_001", "task_curves_001.None"):
        with Image.open(run.results / "figures" / f"{name}.png") as figure:
            assert figure.height > 300, f"{name} is a placeholder"


def test_task_scores_follow_quality(run: Run) -> None:
    tasks = run.table("tasks")
    miou = tasks[tasks["metric"] == "miou"].set_index("codec")
    coded = miou.drop(EMPTY)
    assert set(miou.index) == set(run.table("rd")["codec"])
    assert coded["value"].between(0, 1).all()
    assert coded["ceiling"].nunique() == 1
    assert np.allclose(
        coded["bpp"].sort_index(), run.table("rd", "codec")["bpp"].drop(EMPTY).sort_index()
    )


def test_snakemake_packs_a_report_of_its_own(run: Run) -> None:
    """Figures and tables with the titles, sections and captions of the catalogue."""
    succeed(snakemake(run.folder, run.config, "--report", "packed.zip", env=run.env))
    with zipfile.ZipFile(run.folder / "packed.zip") as archive:
        names = archive.namelist()
        (page,) = (archive.read(name).decode() for name in names if name.endswith(".html"))
    assert any(name.endswith("rd_001.png") for name in names)
    assert any(name.endswith("bd_rate.csv") for name in names)
    for words in ("RD curves, 001", "Rate and time", "Machine tasks", "Hollow: coded at reduced"):
        assert words in page, words


def test_the_report_states_all_of_it(run: Run) -> None:
    report = (run.results / "report.html").read_text("utf-8")
    for text in ("planted: every image", "broken.png", f"{CRASHED} is left out because of crashes"):
        assert text in report, text
    for name in run.config["codecs"]:
        assert f'<option value="{name}">' in report
    for name in set(SIZES) - {CRASHED}:
        assert re.search(rf"<td[^>]*>{re.escape(name)}<", report), name
    main = report[report.index("<main") :]
    first = main.index(f"{EMPTY} on 001: no image was coded (")
    assert first < main.index("<h1>")  # nothing of the page stands before it


def test_decoded_images_are_temporary(run: Run) -> None:
    assert not list(run.results.rglob("reconstructions/**/*.zip"))


def test_another_start_has_nothing_to_do(run: Run) -> None:
    plan = succeed(snakemake(run.folder, run.config, "--dry-run", env=run.env))
    reasons = re.findall(r"^(?:local)?rule (\w+):|^ +reason: (.*)", plan, re.M)
    assert not reasons, reasons[:20]
    assert "Nothing to be done" in plan


def test_tables_are_csv_with_one_header(run: Run) -> None:
    for path in (run.results / "tables").glob("*.csv"):
        with open(path, encoding="utf-8", newline="") as handle:
            widths = {len(row) for row in csv.reader(handle)}
        assert len(widths) == 1, path.name
