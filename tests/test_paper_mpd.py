"""configs/paper-mpd.yaml: what it needs, and a complete dry run on stubs of the published sizes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from paper_stubs import WEIGHTS, place, place_ade20k, place_coco, place_weights
from published_autoencoders import write_published
from running import snakemake, succeed

from icmbench.config.fetching import wanted_sources
from icmbench.config.load import complete
from icmbench.config.run import make_run
from icmbench.core.errors import IcmbenchError
from icmbench.sources.catalogue import shipped_sources

CONFIG = ROOT / "configs" / "paper-mpd.yaml"
NEEDED = {
    "ade20k", "alexnet", "coco2017-annotations", "coco2017-train", "coco2017-val", "dists",
    "face-alignment", "ffhq-1024", "stable-diffusion-2-1-base", "vgg16",
    "mmdet-faster-rcnn_r50_fpn_1x_coco", "mmdet-mask-rcnn_r50_fpn_1x_coco",
    "mmseg-deeplabv3plus_r50-d8_4xb4-160k_ade20k-512x512",
}  # fmt: skip
CODECS = 10
SHARDS = 25


def config(downloads: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    return {**found, "downloads": str(downloads), "weights": str(downloads)}


def stub(downloads: Path) -> None:
    """All sources: 5,000 and 118,287 images of COCO, 70,000 faces."""
    place_coco(downloads, val=5000, train=118_287)
    faces = (f"images1024x1024/{n // 1000 * 1000:05d}/{n:05d}.png" for n in range(70_000))
    place(downloads, "ffhq-1024", *faces)
    place_ade20k(downloads, 500)
    write_published("kl", downloads / "stable-diffusion-2-1-base" / "vae")
    pipeline = shipped_sources()["stable-diffusion-2-1-base"].files
    place(downloads, "stable-diffusion-2-1-base", *(file.name for file in pipeline))
    place_weights(downloads, NEEDED & {*WEIGHTS} | {n for n in NEEDED if n.startswith("mm")})


def test_its_command_fetches_all_that_it_needs(tmp_path: Path) -> None:
    """Missing sources are named before anything runs, with the command."""
    given = config(tmp_path)
    assert {source.name for source, _ in wanted_sources(complete(given))} == NEEDED
    with pytest.raises(IcmbenchError) as caught:
        make_run(given)
    for name in NEEDED - {"alexnet", "dists", "coco2017-train", "coco2017-val"}:
        command = name.replace("mmdet-", "mmdet/").replace("mmseg-", "mmseg/")
        assert f"icmbench fetch --downloads {tmp_path} {command}" in str(caught.value)


@pytest.mark.slow
@pytest.mark.workflow
def test_all_of_it_is_planned(tmp_path: Path) -> None:
    """As many jobs as shards, codecs and data sets make, whatever the number of images."""
    stub(tmp_path)
    text = succeed(snakemake(tmp_path, config(tmp_path), "paper_mpd", "all", "-n", "-q", "rules"))
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", text, re.M))
    for rule in ("encode", "decode", "measure"):
        assert int(jobs[rule]) == 3 * CODECS * SHARDS
    assert int(jobs["download"]) == 2
    trained = ("autoencoder", "contexts", "reverse")
    assert [jobs[f"train_{part}"] for part in trained] == ["1", "1", "1"]
    assert jobs["train_features"] == "2"
    assert jobs["palette_hierarchy"] == "1"
