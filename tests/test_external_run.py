"""A run with a codec of commands and a folder of results, from planning to tables and report."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import make_picture
from PIL import Image as PillowImage
from running import snakemake, succeed
from stub_programs import pillow_entry, write_program

from icmbench.core.images.image_files import write_png

pytestmark = [pytest.mark.slow, pytest.mark.workflow]
TABLES = ("rd", "failures", "codecs", "timing", "remarks")


def rows(folder: Path, table: str) -> list[dict[str, str]]:
    with open(folder / "results" / "tables" / f"{table}.csv", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def planned(text: str) -> dict[str, int]:
    """Jobs of a dry run that code, decode or measure, by rule and entry."""
    jobs = re.findall(r"^rule (encode|decode|measure):.*?output: (\S+)", text, re.M | re.S)
    return {f"{rule} {Path(path.rstrip(',')).parts[-2]}": 1 for rule, path in jobs}


def test_from_planning_to_the_report(tmp_path: Path) -> None:
    """One image fails the program, one result is missing, one program is absent: rows, no end."""
    for number, height in enumerate((48, 50, 52)):
        write_png(tmp_path / "pictures" / f"i{number}.png", make_picture(height, 64, number))
    version = write_program(tmp_path / "version", "#!/bin/sh\necho version 1\n")
    stub: dict[str, Any] = pillow_entry(tmp_path, version=str(version), extension="webp")
    script = tmp_path / "pillow.py"
    text = script.read_text("utf-8")
    refuse = 'if do == "enc" and image.size[1] == 50:\n    sys.exit("this one never")\nif do'
    script.write_text(text.replace("if do", refuse, 1), encoding="utf-8")
    for point, quality in (("low", 5), ("high", 60)):
        home = tmp_path / "theirs" / point
        home.mkdir(parents=True)
        for number in range(3 if point == "low" else 2):
            image = PillowImage.open(tmp_path / "pictures" / f"i{number}.png")
            image.save(home / f"i{number}.jpg", quality=quality)
            PillowImage.open(home / f"i{number}.jpg").save(home / f"i{number}.png")
    config = {
        "datasets": {"mine": {"type": "folder", "path": str(tmp_path / "pictures")}},
        "codecs": {
            "jpeg": {"points": [{"quality": [5, 60]}]},
            "stub": {**stub, "points": [{"quality": [5, 60]}]},
            "theirs": {
                "codec": "folder", "path": str(tmp_path / "theirs"),
                "points": [{"point": ["low", "high"]}],
            },
            "gone": {**stub, "encode": "no-such-program {input} {output} {quality}"},
        },
        "metrics": ["psnr_rgb"],
        "anchors": ["jpeg"],
        "rates": [],
        "comparison": {"max_failed": 0.5},
        "robustness": {"dataset": "mine", "images": 1, "trials": 1},
    }  # fmt: skip
    said = succeed(snakemake(tmp_path, config))
    assert "unavailable: gone: codec entry gone: the program no-such-program is not on PATH" in said
    assert "codecs.theirs: high: 1 of 3 results on mine are missing (i2.png)" in said
    assert (tmp_path / "results" / "report.html").stat().st_size > 10_000
    failed = {(row["codec"], row["status"]): row for row in rows(tmp_path, "failures")}
    assert set(failed) == {
        ("stub:quality=5", "encode-failed"), ("stub:quality=60", "encode-failed"),
        ("theirs:point=high", "missing"),
    }  # fmt: skip
    assert failed["stub:quality=5", "encode-failed"]["detail"].endswith(": this one never")
    rd = {row["codec"]: row for row in rows(tmp_path, "rd")}
    assert {row["images"] for row in rd.values()} == {"1"}  # the image that all of them have
    low, jpeg = rd["theirs:point=low"], rd["jpeg:quality=5"]
    size = (tmp_path / "theirs" / "low" / "i0.jpg").stat().st_size
    assert float(low["bpp"]) == pytest.approx(8 * size / (48 * 64), rel=1e-5)
    assert jpeg["bpp"] != low["bpp"]
    notes = {row["family"]: row for row in rows(tmp_path, "codecs")}
    assert notes["theirs"]["settings"].startswith("not decoded by us")
    assert notes["stub"]["versions"] == "version 1"
    assert {row["family"] for row in rows(tmp_path, "timing")} == {"jpeg", "stub"}
    assert {row["family"] for row in rows(tmp_path, "robustness")} == {"jpeg", "stub"}
    assert [row["remark"] for row in rows(tmp_path, "remarks")] == ["not decoded by us"]
    stated = json.loads((tmp_path / "results" / "provenance.json").read_text("utf-8"))
    assert list(stated["programs"]) == ["stub"]
    assert stated["programs"]["stub"]["programs"] == {sys.executable: shutil.which(sys.executable)}
    assert "{quality}" in stated["programs"]["stub"]["encode"][0]
    log = (tmp_path / "results" / "logs" / "encode" / "mine.stub.0.log").read_text("utf-8")
    assert (
        len(re.findall(r"pillow\.py enc \S+/input\.png \S+/stream\.webp WEBP 60$", log, re.M)) == 3
    )

    assert planned(succeed(snakemake(tmp_path, config, "--dry-run"))) == {}
    write_program(version, "#!/bin/sh\necho version 2\n")
    again = planned(succeed(snakemake(tmp_path, config, "--dry-run")))
    assert set(again) == {"encode stub", "decode stub", "measure stub"}
    write_program(version, "#!/bin/sh\necho version 1\n")
    (tmp_path / "theirs" / "low" / "i0.jpg").write_bytes(b"shorter")
    again = planned(succeed(snakemake(tmp_path, config, "--dry-run")))
    assert set(again) == {"encode theirs", "decode theirs", "measure theirs"}


def test_the_example_is_planned(tmp_path: Path) -> None:
    """configs/anchors-external.yaml: every shipped program, those that are absent announced."""
    from conftest import ROOT

    config = yaml.safe_load((ROOT / "configs" / "anchors-external.yaml").read_text("utf-8"))
    write_png(tmp_path / "pictures" / "a.png", make_picture(64, 64))
    config["datasets"] = {"mine": {"type": "folder", "path": str(tmp_path / "pictures")}}
    text = succeed(snakemake(tmp_path, config, "--dry-run"))
    assert "unavailable: jpeg-ai:" in text
