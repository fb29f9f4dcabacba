"""configs/paper-mpd.yaml: what it needs, and a complete dry run on stubs of the published sizes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from published_autoencoders import write_published
from running import snakemake, succeed

from icmbench.config.fetching import wanted_sources
from icmbench.config.load import complete
from icmbench.config.run import make_run
from icmbench.core.errors import IcmbenchError
from icmbench.sources.catalogue import FETCHED

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


def place(downloads: Path, source: str, *names: str) -> None:
    """A source that is complete, with empty files."""
    folder = downloads / source
    for parent in {(folder / name).parent for name in names}:
        parent.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    files = {path.name: {"sha256": "", "size": 0} for path in folder.iterdir() if path.is_file()}
    (folder / FETCHED).write_text(json.dumps({"files": files}))


def stub(downloads: Path, train: int = 118_287, faces: int = 70_000) -> None:
    """All sources: 5,000 images of COCO's val and so on."""
    place(downloads, "coco2017-annotations", "annotations/x")
    for split, count in (("val", 5000), ("train", train)):
        listed = [
            {"id": n, "file_name": f"{n:012}.jpg", "width": 640, "height": 480}
            for n in range(139, 139 + count)
        ]
        content = {"images": listed, "annotations": [], "categories": [], "licenses": []}
        for kind in ("captions", "instances"):
            path = downloads / "coco2017-annotations/annotations" / f"{kind}_{split}2017.json"
            path.write_text(json.dumps(content))
    numbers = sorted({*range(faces), *range(60_000, 61_000)})
    place(
        downloads, "ffhq-1024",
        *(f"images1024x1024/{n // 1000 * 1000:05d}/{n:05d}.png" for n in numbers),
    )  # fmt: skip
    root = "ADEChallengeData2016"
    places = {"images": "jpg", "annotations": "png"}
    place(
        downloads, "ade20k",
        *(f"{root}/{p}/validation/{n:08}.{s}" for n in range(500) for p, s in places.items()),
    )  # fmt: skip
    classes = "".join(f"{n}\t0\t0\t0\tclass {n}\n" for n in range(1, 151))
    (downloads / "ade20k" / root / "objectInfo150.txt").write_text(f"Idx\t\t\t\tName\n{classes}")
    write_published("kl", downloads / "stable-diffusion-2-1-base" / "vae")
    place(downloads, "stable-diffusion-2-1-base", "model_index.json")
    for source, file in {
        "vgg16": "vgg16-397923af.pth", "alexnet": "alexnet-owt-7be5be79.pth",
        "dists": "dists_weights.pt", "face-alignment": "2DFAN4-11f355bf06.pth.tar",
        **{name: "net.pth" for name in NEEDED if name.startswith("mm")},
    }.items():  # fmt: skip
        place(downloads, source, file)


def test_its_command_fetches_all_that_it_needs(tmp_path: Path) -> None:
    """What is not there is named before anything runs, with the command."""
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
    text = succeed(snakemake(tmp_path, config(tmp_path), "paper_mpd", "all", "--dry-run", "-q"))
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", text, re.M))
    for rule in ("encode", "decode", "measure"):
        assert int(jobs[rule]) == 3 * CODECS * SHARDS
    assert int(jobs["download"]) == 2
    trained = ("autoencoder", "contexts", "reverse")
    assert [jobs[f"train_{part}"] for part in trained] == ["1", "1", "1"]
    assert jobs["train_features"] == "2"
    assert jobs["palette_hierarchy"] == "1"
