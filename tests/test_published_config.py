"""configs/published-diff-icmh.yaml: complete dry runs on stubs in place of the fetched files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from running import snakemake, succeed
from tiny_icmh import tiny_icmh_models

from icmbench.codecs.diff_icmh.model_folder import WORDS
from icmbench.config.run import make_run
from icmbench.core.errors import IcmbenchError
from icmbench.sources.catalogue import FETCHED, shipped_sources
from icmbench.tasks.backends.openmm import known_configs

CONFIG = ROOT / "configs" / "published-diff-icmh.yaml"
IMAGES = {  # source -> number of images, and the folder that they lie in
    "clic2020-professional": (250, "professional"),
    "tecnick": (100, "RGB_OR_1200x1200"),
    "flickr30k": (1200, "flickr30k-images"),
}
CODECS = 4
POINTS = 1 + 8 + 17 + 20
SHARDS = 25


def config(downloads: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    where = {"models": str(downloads / "models"), "weights": str(downloads)}
    return {**found, "downloads": str(downloads), **where}


def stub(downloads: Path) -> None:
    """Manifests of the published sizes: 5,000 images of COCO and so on."""
    for name, (count, images) in IMAGES.items():
        place = downloads / name / images
        place.mkdir(parents=True)
        (downloads / name / FETCHED).write_text("{}")
        for number in range(count):
            (place / f"{number:05}.png").write_bytes(b"")
    folder = downloads / "coco2017-annotations" / "annotations"
    folder.mkdir(parents=True)
    (folder.parent / FETCHED).write_text("{}")
    listed = [
        {"id": n, "file_name": f"{n:012}.jpg", "width": 640, "height": 480} for n in range(5000)
    ]
    content = {"images": listed, "annotations": [], "categories": [], "licenses": []}
    for kind in ("captions", "instances"):
        (folder / f"{kind}_val2017.json").write_text(json.dumps(content))
    for task in config(downloads)["tasks"].values():
        folder = downloads / f"{task['type']}-{task['config']}"
        folder.mkdir()
        (folder / "net.pth").write_bytes(b"")
        (folder / FETCHED).write_text('{"files": {"net.pth": {}}}')
    (downloads / "models").mkdir()
    (downloads / "models" / "diff-icmh").symlink_to(tiny_icmh_models() / "diff-icmh")


def test_its_commands_name_what_it_needs(tmp_path: Path) -> None:
    """Sources of its commands ship; models of its tasks exist; all its data sets are fetched."""
    text = CONFIG.read_text(encoding="utf-8")
    commands = re.findall(r"#   icmbench fetch (.*)", text)
    named = {name for command in commands for name in command.split()}
    zoo = {name for name in named if "/" in name}
    assert named - zoo <= {*shipped_sources()}
    used = re.findall(r" downloads/([\w-]+)(?:/(\S+))?", text)
    assert {name for name, _ in used} - {"models"} <= named
    texts = {
        "stable-diffusion-2-1-tokenizer": [*WORDS],
        "ram-plus": ["ram_plus_swin_large_14m.pth"],
        "ram-tags": ["ram_tag_list.txt"],
        "ram-thresholds": ["ram_tag_list_threshold.txt"],
    }
    for name, files in texts.items():
        assert [file.name for file in shipped_sources()[name].files] == files
        assert (name, files[0] if len(files) == 1 else "") in used
    assert {name for name in named - zoo if shipped_sources()[name].manual} == {"flickr30k"}
    assert "Flickr30k needs its form filled in" in text
    tasks = config(tmp_path)["tasks"].values()
    assert zoo == {f"{task['type']}/{task['config']}" for task in tasks}
    assert all(task["config"] in known_configs(task["type"]) for task in tasks)
    stub(tmp_path)
    run = make_run(config(tmp_path))
    wanted = {name for dataset in run.datasets.values() for name in dataset.sources()}
    assert wanted - named == {"kodak", "coco2017-val"}  # the workflow fetches them


def test_what_is_not_fetched_is_named(tmp_path: Path) -> None:
    """Before anything runs, with the commands."""
    with pytest.raises(IcmbenchError) as caught:
        make_run(config(tmp_path))
    for name in ("coco2017-annotations", "tecnick", "mmdet/mask-rcnn_r50_fpn_1x_coco"):
        assert f"icmbench fetch --downloads {tmp_path} {name}" in str(caught.value)


@pytest.mark.slow
@pytest.mark.workflow
def test_all_of_it_is_planned(tmp_path: Path) -> None:
    """As many jobs as shards, codecs and data sets make, whatever the number of images."""
    stub(tmp_path)
    text = succeed(snakemake(tmp_path, config(tmp_path), "--dry-run", "--quiet", "rules"))
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", text, re.M))
    datasets = 5
    for rule in ("encode", "decode", "measure"):
        assert int(jobs[rule]) == datasets * CODECS * SHARDS
    assert int(jobs["predict"]) == CODECS * SHARDS
    assert int(jobs["download"]) == 2
    assert int(jobs["dataset_shard"]) == datasets * SHARDS
    text = succeed(
        snakemake(tmp_path, config(tmp_path), "figure_diff_icmh_3", "--dry-run", "--quiet", "rules")
    )
    assert "feature_gap_shard" in text
