"""`tools/reference.py`: every folder of reference/ is listed whole, and is copied without paths."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
from conftest import ROOT
from PIL import Image as PillowImage

from icmbench.config.load import complete

FOLDERS = yaml.safe_load((ROOT / "reference" / "folders.yaml").read_text(encoding="utf-8"))


def listed(folder: dict[str, list[dict[str, list[str]]]]) -> set[str]:
    tables = {f"{name}.csv" for run in folder["runs"] for name in run.get("tables", [])}
    pictures = {
        f"{name}.png"
        for run in folder["runs"]
        for kind in ("figures", "pictures")
        for name in run.get(kind, [])
    }
    return tables | pictures


def tool(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tools" / "reference.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_every_committed_file_is_listed_with_its_configuration() -> None:
    folders = {path.name for path in (ROOT / "reference").iterdir() if path.is_dir()}
    assert set(FOLDERS) == folders - {"published"}
    for name, folder in FOLDERS.items():
        home = ROOT / "reference" / name
        configurations = {Path(run["config"]).name for run in folder["runs"]}
        there = {path.name for path in home.iterdir()} - {"provenance.json", "config.yaml"}
        assert there - configurations <= listed(folder), name
        assert "revision" in folder or (home / "provenance.json").exists(), name
        for run in folder["runs"]:
            config = yaml.safe_load((ROOT / run["config"]).read_text(encoding="utf-8"))
            complete(config)
            for key in run.get("paths", []):
                value = config
                for part in key.split("."):
                    value = value[part]
                assert not Path(value).is_absolute(), key


def complete_run(place: Path, name: str, text: str) -> None:
    (run,) = FOLDERS[name]["runs"]
    for kind in ("tables", "figures"):
        (place / kind).mkdir(parents=True, exist_ok=True)
    for table in run["tables"]:
        (place / "tables" / f"{table}.csv").write_text(f"codec,detail\nmpd,{text}/a.png\n")
    noise = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    for figure in [*run.get("figures", []), *run.get("pictures", [])]:
        PillowImage.fromarray(noise).save(place / "figures" / f"{figure}.png")
    config = {"datasets": {"coco": {"path": text}}, "results": str(place)}
    (place / "provenance.json").write_text(json.dumps({"revision": "abc", "config": config}))


def test_a_complete_run_is_copied_small_and_without_paths(tmp_path: Path) -> None:
    place, data = tmp_path / "run", tmp_path / "pictures"
    complete_run(place, "coco", str(data))
    done = tool(
        "coco", "--results", place, "--path", f"datasets.coco.path={data}", "--out", tmp_path / "r"
    )
    assert done.returncode == 0, done.stderr
    home = tmp_path / "r" / "coco"
    assert {path.name for path in home.iterdir()} == listed(FOLDERS["coco"]) | {"provenance.json"}
    for path in home.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes(), path
    config = json.loads((home / "provenance.json").read_text())["config"]
    assert config["datasets"]["coco"]["path"] == "data/coco/val2017"
    with PillowImage.open(home / "task_curves_coco.boxes.png") as picture:
        assert (picture.size, picture.mode) == ((60, 40), "P")
        assert len(picture.getcolors()) <= 128


def test_half_the_size_of_pictures_and_the_whole_of_figures(tmp_path: Path) -> None:
    complete_run(tmp_path / "run", "default", "x")
    done = tool("default", "--results", tmp_path / "run", "--out", tmp_path / "r")
    assert done.returncode == 0, done.stderr
    for name, size in (("taps", (30, 20)), ("rd_photos", (60, 40))):
        with PillowImage.open(tmp_path / "r" / "default" / f"{name}.png") as picture:
            assert picture.size == size


def test_what_is_missing_is_named_and_nothing_copied(tmp_path: Path) -> None:
    complete_run(tmp_path / "run", "default", "x")
    (tmp_path / "run" / "tables" / "retrieval.csv").unlink()
    done = tool("default", "--results", tmp_path / "run", "--out", tmp_path / "r")
    assert done.returncode == 1
    assert "retrieval.csv" in done.stderr
    assert not (tmp_path / "r").exists()
    done = tool("coco", "--path", "datasets.coco.path=/x", "--out", tmp_path / "r")
    assert done.returncode == 1
    assert "datasets.coco.annotations" in done.stderr
    done = tool("coco", "--path", "datasets.coco.maps=/x")
    assert "a key of this folder" in done.stderr
    assert "'cocoa' is not a folder" in tool("cocoa").stderr
