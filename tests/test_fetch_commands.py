"""Commands that errors print: they fetch into the folder, and from the list, of the run."""

from __future__ import annotations

import csv
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import make_picture
from file_server import serve

from icmbench.config.run import make_run
from icmbench.core.errors import ConfigError, DatasetError, IcmbenchError
from icmbench.core.fetch_command import fetch_command
from icmbench.core.images.image_files import write_png
from icmbench.datasets.registry import make_dataset
from icmbench.jobs.annotations import annotations
from icmbench.jobs.dataset_shard import dataset_shard
from icmbench.jobs.training_pool import training_pool
from icmbench.metrics import weights as files
from icmbench.metrics.availability import available
from icmbench.sources.catalogue import known_sources

CODECS = {"identity": {"points": [{}]}}


@pytest.mark.parametrize(
    ("downloads", "sources", "text"),
    [
        ("downloads", None, "icmbench fetch x"),
        (Path("./downloads/"), "", "icmbench fetch x"),
        (Path("/scratch/dl"), None, "icmbench fetch --downloads /scratch/dl x"),
        ("downloads", "mine.yaml", "icmbench fetch --sources mine.yaml x"),
        ("a b", "c d", "icmbench fetch --downloads 'a b' --sources 'c d' x"),
        ("~/a b", None, "icmbench fetch --downloads ~/'a b' x"),
    ],
)
def test_options_that_differ_from_the_defaults(downloads: Any, sources: Any, text: str) -> None:
    assert fetch_command("x", downloads, sources) == text


def listed(folder: Path, address: str) -> Path:
    """An own list in which div2k-valid is one picture of a local server."""
    entry = {"title": "Mine", "licence": "of my own", "homepage": "http://x.org/"}
    entry |= {"bases": [f"{address}/"], "files": ["0801.png"]}
    path = folder / "my sources.yaml"
    path.write_text(yaml.safe_dump({"div2k-valid": entry}), encoding="utf-8")
    return path


def test_the_printed_command_mends_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another folder and an own list, with a space each; the manifest has the list's licence."""
    monkeypatch.setenv("no_proxy", "*")
    picture, downloads = tmp_path / "0801.png", tmp_path / "my dl"
    write_png(picture, make_picture(40, 50))
    with serve() as site:
        site.files = {"/0801.png": picture.read_bytes()}
        own = listed(tmp_path, site.address)
        config = {"datasets": {"div2k": {}}, "codecs": CODECS, "metrics": ["psnr_rgb"]}
        config |= {"downloads": str(downloads), "sources": str(own)}
        with pytest.raises(DatasetError) as caught:
            make_run(config)
        (command,) = re.findall("`(icmbench fetch .*?)`", str(caught.value))
        options = f"--downloads '{downloads}' --sources '{own}'"
        assert command == f"icmbench fetch {options} div2k-valid"
        assert f"{site.address}/0801.png" in str(caught.value)
        words = [sys.executable, "-m", *shlex.split(command)]
        subprocess.run(words, check=True, capture_output=True, timeout=120)
    assert make_run(config).datasets["div2k"].image_ids() == ["0801.png"]
    dataset_shard(
        "div2k", 0, entry={}, downloads=downloads, shards=1, results=tmp_path / "results",
        records=tmp_path / "records.csv", images=tmp_path / "images", sources=own,
    )  # fmt: skip
    with open(tmp_path / "records.csv", encoding="utf-8") as handle:
        assert [row["licence"] for row in csv.DictReader(handle)] == ["of my own"]


def test_jobs_are_given_the_list() -> None:
    """By the name of the key `sources`, as `job_arguments` does it."""
    for job in (dataset_shard, annotations, training_pool):
        assert "sources" in inspect.signature(job).parameters


def test_a_training_set_names_them_too(tmp_path: Path) -> None:
    own = listed(tmp_path, "http://mirror.example")
    config = {"datasets": {"scenes": {"test": 2}}, "codecs": CODECS, "downloads": "/no/dl"}
    data = {"mine": {"type": "coco2017", "split": "train"}}
    run = make_run({**config, "sources": str(own), "training": {"data": data}})
    options = f"--downloads /no/dl --sources '{own}'"
    with pytest.raises(DatasetError, match=f"`icmbench fetch {options} coco2017-annotations`"):
        run.training.sources["mine"].image_ids()


def test_defaults_need_no_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    task = {"type": "mmdet", "datasets": ["scenes"], "config": "retinanet_r50_fpn_1x_coco"}
    datasets = {"div2k": {}, "scenes": {"test": 2}}
    config = {"datasets": datasets, "codecs": CODECS, "tasks": {"a": {**task, "checkpoint": "zoo"}}}
    with pytest.raises(IcmbenchError) as caught:
        make_run(config)
    for name in ("div2k-valid", "mmdet/retinanet_r50_fpn_1x_coco"):
        assert f"run `icmbench fetch {name}`" in str(caught.value)
    with pytest.raises(ConfigError, match="run `icmbench fetch --downloads dl mmdet/retinanet"):
        make_run({**config, "downloads": "dl"})


def test_what_is_known_by_a_list_says_so(tmp_path: Path) -> None:
    """Offline, too; a source of no list is an error with the nearest name."""
    own = listed(tmp_path, "http://mirror.example")
    known = known_sources(own)
    for name in ("div2k-valid", "vgg16"):
        expected = f"icmbench fetch --sources '{own}' {name}"
        assert known[name].command(Path("downloads")) == expected
    config = {"datasets": {"kodak": {}}, "codecs": CODECS, "downloads": "/no/dl", "offline": True}
    with pytest.raises(ConfigError, match="run `icmbench fetch --downloads /no/dl kodak` where"):
        make_run(config)
    dataset = make_dataset("div2k", {}, tmp_path)
    with pytest.raises(ConfigError, match=r"unknown source 'div2k-vald'.*div2k-valid"):
        dataset.fetched("div2k-vald")


def test_weights_of_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into the folder of weights, which is looked into; else into the downloads, to be set."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    _, reasons = available()
    assert reasons["lpips"].endswith("run `icmbench fetch alexnet` and set `weights: downloads`.")
    config = {"datasets": {"scenes": {"test": 2}}, "codecs": CODECS, "downloads": "/no/dl"}
    config["metrics"] = ["psnr_rgb", "lpips"]
    command = "run `icmbench fetch --downloads /no/dl alexnet`"
    text = make_run(config).unavailable["lpips"]
    assert text.endswith(f"{command} and set `weights: /no/dl`.")
    text = make_run({**config, "distribution": {"datasets": ["scenes"]}}).unavailable[
        "distribution"
    ]
    assert "`icmbench fetch --downloads /no/dl inception-fid`" in text
    place = tmp_path / "w"
    place.mkdir()
    text = make_run({**config, "weights": str(place)}).unavailable["lpips"]
    assert text.endswith(f"run `icmbench fetch --downloads {place} alexnet`.")
    (place / "alexnet").mkdir()
    (place / "alexnet" / files.ALEXNET.name).write_bytes(b"")
    assert "lpips" in available(place)[0]
