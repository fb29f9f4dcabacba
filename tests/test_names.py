"""A whole run with names that read as numbers, as missing values or as formulas."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import make_picture
from PIL import Image
from running import snakemake, succeed
from test_onnx_tasks import colour_network

from icmbench.core.images.image_files import write_png

IMAGES = ("001.png", "NA.png", "$5_$10.png", "1e3.png")


def column(results: Path, table: str, name: str) -> set[str]:
    with open(results / "tables" / f"{table}.csv", encoding="utf-8", newline="") as handle:
        return {row[name] for row in csv.DictReader(handle)}


@pytest.mark.slow
@pytest.mark.workflow
def test_names_survive_a_run(tmp_path: Path) -> None:
    for seed, name in enumerate(IMAGES):
        write_png(tmp_path / "images" / name, make_picture(60, 72, seed))
        path = tmp_path / "maps" / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((60, 72), seed % 2, np.uint8)).save(path)
    folder = {"path": str(tmp_path / "images")}
    semantic = {"type": "semantic", "maps": str(tmp_path / "maps"), "classes": ["null", "007"]}
    model = colour_network(tmp_path / "net.onnx", ("h", "w"), pool=False)
    task = {"type": "onnx-segmenter", "model": str(model), "classes": ["null", "007", "NA"]}
    config = {
        "datasets": {"001": {**semantic, **folder}, "NA": {"type": "folder", **folder}},
        "codecs": {
            "null": {"codec": "jpeg", "points": [{"quality": [10, 40, 80]}]},
            "1e3": {"codec": "webp", "points": [{"quality": [10, 40, 80]}]},
        },
        "tasks": {"None": {**task, "datasets": ["001"]}},
        "metrics": ["psnr_rgb"],
        "anchors": ["null"],
        "bootstrap": {"resamples": 20, "bd_resamples": 20},
        "robustness": {"trials": 0},
        "visual": [{"dataset": "001", "image": "$5_$10.png", "bpp": 1}],
        "task_pictures": [{"dataset": "001", "task": "None", "image": "$5_$10.png", "bpp": 1}],
        "device": "cpu",
    }
    succeed(snakemake(tmp_path, config))
    results = tmp_path / "results"
    families, sets = {"null", "1e3"}, {"001", "NA"}
    for table in ("rd", "timing", "bd_rate"):
        assert column(results, table, "dataset") == sets, table
    for table in ("rd", "timing"):
        assert column(results, table, "family") == families, table
    assert column(results, "bd_rate", "anchor") == {"null"}
    for table in ("tasks", "tasks_bd_rate"):
        assert column(results, table, "task") == {"None"}
        assert column(results, table, "dataset") == {"001"}
    assert column(results, "tasks", "family") == families
    compared = json.loads((results / "tables" / "comparison.json").read_text("utf-8"))
    assert {key: sorted(found["images"]) for key, found in compared.items()} == dict.fromkeys(
        sets, sorted(IMAGES)
    )
    for name in ("rd_001", "rd_NA", "rate_time_001", "bd_null_NA", "task_curves_001.None"):
        with Image.open(results / "figures" / f"{name}.png") as figure:
            assert figure.height > 300, f"{name} is a placeholder"
    report = (results / "report.html").read_text("utf-8")
    for name in families | sets:
        assert f'<option value="{name}">' in report
    for name in IMAGES:
        assert re.search(rf"<td[^>]*>{re.escape(name)}<", report), name
