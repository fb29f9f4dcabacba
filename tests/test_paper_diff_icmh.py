"""configs/paper-diff-icmh.yaml: complete dry runs on stubs in place of the fetched files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from paper_stubs import place, place_ade20k, place_coco, place_weights
from running import snakemake, succeed
from tiny_clip import tiny_clip
from tiny_icmh import tiny_icmh_models

from icmbench.config.fetching import import_options, wanted_sources
from icmbench.config.load import complete
from icmbench.config.run import make_run
from icmbench.core.errors import IcmbenchError
from icmbench.sources.catalogue import shipped_sources

CONFIG = ROOT / "configs" / "paper-diff-icmh.yaml"
IMAGES = {  # source -> number of images, and the folder that they lie in
    "clic2020-professional": (250, "professional"),
    "tecnick": (100, "RGB_OR_1200x1200"),
    "flickr30k": (1200, "flickr30k-images"),
}
CLIPS = ("clip-vit-base-patch16", "clip-vit-base-patch32")
SHIPPED = shipped_sources()
CODECS = 7
SHARDS = 25


def config(downloads: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    where = {"models": str(downloads / "models"), "weights": str(downloads)}
    return {**found, "downloads": str(downloads), **where}


def stub(downloads: Path) -> None:
    """All sources but Kodak's photographs: 5,000 images of COCO and so on."""
    for name, (count, images) in IMAGES.items():
        place(downloads, name, *(f"{images}/{number:05}.png" for number in range(count)))
    lines = [f"{n:05}.png#0\ta photograph\n" for n in range(IMAGES["flickr30k"][0])]
    (downloads / "flickr30k" / "results_20130124.token").write_text("".join(lines))
    place_coco(downloads, val=5000)
    place_ade20k(downloads, 2000)
    tasks = complete(config(downloads))["tasks"].values()
    zoo = [f"{task['type']}-{task['config']}" for task in tasks if "config" in task]
    place_weights(downloads, ["alexnet", "vgg16", "dists", "niqe", "inception-fid", *zoo])
    for name in CLIPS:
        tiny_clip(downloads / name, form="bin")
        place(downloads, name)
    (downloads / "models").mkdir()
    (downloads / "models" / "diff-icmh").symlink_to(tiny_icmh_models() / "diff-icmh")


def test_its_command_fetches_and_imports_all_that_it_needs(tmp_path: Path) -> None:
    filled = complete(config(tmp_path))
    found = {source.name for source, _ in wanted_sources(filled)}
    zoo = {f"{t['type']}-{t['config']}" for t in filled["tasks"].values() if "config" in t}
    assert found == zoo | {
        *(f"diff-icmh-{weight}" for weight in (2, 4, 8, 16, 32)), "ade20k", "alexnet",
        "clic2020-professional", "clip-vit-base-patch16", "clip-vit-base-patch32",
        "coco2017-annotations", "coco2017-val",
        "dists", "flickr30k", "inception-fid", "kodak", "niqe", "ram-plus", "ram-tags",
        "ram-thresholds",
        "stable-diffusion-2-1-tokenizer", "tecnick", "vgg16",
    }  # fmt: skip
    assert [name for name in found if name in SHIPPED and SHIPPED[name].manual] == ["flickr30k"]
    options = import_options(filled, "diff-icmh")
    given = [*options["checkpoints"], *(options[k] for k in ("tokenizer", "tags", "tagger"))]
    assert all(path.startswith(f"{tmp_path}/") for path in given)


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
    text = succeed(
        snakemake(tmp_path, config(tmp_path), "paper_diff_icmh", "all", "-n", "-q", "rules")
    )
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", text, re.M))
    datasets = 6
    for rule in ("encode", "decode", "measure"):
        assert int(jobs[rule]) == datasets * CODECS * SHARDS
    assert int(jobs["predict"]) == 3 * CODECS * SHARDS  # of COCO, ADE20K and Flickr30k
    assert int(jobs["download"]) == 2
    assert int(jobs["dataset_shard"]) == datasets * SHARDS
    assert "feature_gap_shard" in jobs
