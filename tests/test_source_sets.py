"""Data sets of published sources: splits, places, plans without a network, the rule `download`."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, make_picture
from file_server import Site, serve
from running import snakemake, succeed

from icmbench.config.load import complete
from icmbench.config.run import make_run
from icmbench.config.sources import source_files
from icmbench.config.training_data import make_training_set, training_records
from icmbench.core.errors import ConfigError, DatasetError
from icmbench.core.fetch_command import FETCHED
from icmbench.core.images.image_files import write_png
from icmbench.datasets.registry import kinds, make_dataset
from icmbench.sources.catalogue import shipped_sources

RULES = ROOT / "rules" / "download.smk"
CODECS = {"identity": {"points": [{}]}}


def fetched(downloads: Path, source: str, *names: str) -> Path:
    """A source as `icmbench fetch` leaves it, with pictures of these names."""
    folder = downloads / source
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        write_png(folder / name, make_picture(20, 30, number))
    (folder / FETCHED).write_text("{}")
    return folder


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError(f"the network is used: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def coco(downloads: Path, *splits: str) -> None:
    """COCO's annotations with two pictures per split, and the pictures."""
    folder = fetched(downloads, "coco2017-annotations")
    (folder / "annotations").mkdir()
    for split in splits:
        names = [f"{split}0.png", f"{split}1.png"]
        images = [
            {"id": n, "file_name": name, "width": 30, "height": 20} for n, name in enumerate(names)
        ]
        content = {"images": images, "annotations": [], "categories": [], "licenses": []}
        for kind in ("instances", "captions"):
            path = folder / "annotations" / f"{kind}_{split}2017.json"
            path.write_text(json.dumps(content))


def test_every_source_of_a_kind_ships() -> None:
    """Also of other splits and sizes than the default."""
    entries: dict[str, list[dict[str, Any]]] = {
        "kodak": [{}], "tecnick": [{}], "flickr30k": [{}],
        "div2k": [{}, {"split": "train"}], "lsdir": [{}, {"split": "train"}],
        "clic2020": [{}, {"split": "mobile"}], "coco2017": [{}, {"split": "train"}],
        "ffhq": [{}, {"size": 128}, {"split": "train"}],
        **{kind: [{}, {"split": "train"}] for kind in ("ade20k", "cityscapes", "wflw")},
    }  # fmt: skip
    for kind, several in entries.items():
        for entry in several:
            names = make_dataset("x", {"type": kind, **entry}, Path("dl")).sources()
            assert names
            assert {*names} <= {*shipped_sources()}, kind
            assert make_dataset("x", {"type": kind, **entry, "path": "p"}, Path()).sources() in (
                (), ("coco2017-annotations",),
            )  # fmt: skip
    others = {*kinds()} - {*entries}
    assert {"photos", "scenes", "folder", "coco"} <= others


def test_the_plan_of_coco_needs_its_annotations_alone(tmp_path: Path, no_network: None) -> None:
    config = {"datasets": {"val": {"type": "coco2017"}}, "codecs": CODECS}
    config["downloads"] = str(tmp_path / "dl")
    with pytest.raises(DatasetError) as caught:
        make_run(config)
    assert str(caught.value) == (
        f"datasets.val: data set 'val': coco2017-annotations is not in {tmp_path}/dl/"
        f"coco2017-annotations: run `icmbench fetch --downloads {tmp_path}/dl coco2017-annotations`"
        " (annotations_trainval2017.zip, 253 MB, "
        "http://images.cocodataset.org/annotations/annotations_trainval2017.zip)"
    )
    coco(tmp_path / "dl", "val")
    instances = tmp_path / "dl" / "coco2017-annotations" / "annotations" / "instances_val2017.json"
    text = instances.read_text()
    instances.write_text("half a gigabyte of polygons, which no plan reads")
    run = make_run(config)
    dataset = run.datasets["val"]
    assert dataset.image_ids() == ["val0.png", "val1.png"]
    assert source_files(run.config, run.datasets.values()) == [
        f"{tmp_path}/dl/coco2017-{part}/{FETCHED}" for part in ("annotations", "val")
    ]
    with pytest.raises(
        DatasetError, match=r"run `icmbench fetch .*/dl coco2017-val` \(val2017.zip, 816"
    ):
        dataset.provide(["val0.png"], tmp_path / "out")
    fetched(tmp_path / "dl", "coco2017-val", "val2017/val0.png", "val2017/val1.png")
    assert {r.split for r in dataset.provide(dataset.image_ids(), tmp_path / "out")} == {"test"}
    with pytest.raises(DatasetError, match=r"instances_val2017\.json: not JSON"):
        dataset.merge_annotations({"val0.png": tmp_path / "out"})
    instances.write_text(text)
    got = dataset.merge_annotations({"val0.png": tmp_path / "out"}).instances
    assert [image["image"] for image in got["images"]] == ["val0.png"]


def test_the_train_of_coco_is_trained_on(tmp_path: Path) -> None:
    """Its val never is, by whatever name."""
    coco(tmp_path, "val", "train")
    fetched(tmp_path, "coco2017-train", "train2017/train0.png", "train2017/train1.png")
    source = make_training_set("mine", {"type": "coco2017", "split": "train"}, tmp_path)
    records = source.provide(source.image_ids(), tmp_path / "out")
    assert [r.image for r in training_records(source, records)] == ["train0.png", "train1.png"]
    folder = tmp_path / "coco2017-train" / "train2017"
    file = tmp_path / "coco2017-annotations" / "annotations" / "instances_train2017.json"
    own = {"type": "coco", "path": str(folder), "annotations": str(file)}
    source = make_training_set("mine", own, tmp_path)
    records = source.provide(source.image_ids(), tmp_path / "out")
    assert len(training_records(source, records)) == 2
    for entry, message in (
        ({"type": "coco2017"}, "the split val of coco2017 is for testing only; set split: train"),
        ({**own, "path": "x/val2017"}, "path: x/val2017: COCO val2017 is for testing only"),
        ({**own, "annotations": "instances_val2017.json"}, "COCO val2017 is for testing only"),
        ({"type": "folder", "path": "x/val2017/"}, "COCO val2017 is for testing only"),
        ({"type": "folder", "path": "x/val2017/images"}, "COCO val2017 is for testing only"),
        ({"type": "tecnick"}, "the split sampling of tecnick is for testing only; it has no split"),
        ({"type": "ffhq"}, "the split val of ffhq is for testing only; set split: train"),
    ):
        with pytest.raises(ConfigError, match=rf"training\.data\.mine: .*{message}"):
            make_training_set("mine", entry, tmp_path)


def test_train_and_val_may_be_in_one_run(tmp_path: Path) -> None:
    """They lie in one folder of FFHQ, too; one split is not both coded and trained on."""
    fetched(tmp_path, "ffhq-128", "t/00001.png", "t/60001.png")
    base = {"codecs": CODECS, "downloads": str(tmp_path)}
    train = {"type": "ffhq", "size": 128, "split": "train"}
    data = {"training": {"data": {"mine": train}}}
    make_run({**base, **data, "datasets": {"faces": {**train, "split": "val"}}})
    with pytest.raises(ConfigError, match=r"data\.mine and the data set 'faces'.*split train"):
        make_run({**base, **data, "datasets": {"faces": train}, "split": "train"})
    local = {"type": "folder", "path": str(tmp_path / "ffhq-128" / "t")}
    with pytest.raises(ConfigError, match=r"data\.mine and the data set 'faces'.*the same images"):
        make_run({**base, **data, "datasets": {"faces": local}})


def test_places_and_splits(tmp_path: Path) -> None:
    def images(kind: str, **entry: Any) -> list[str]:
        dataset = make_dataset("x", {"type": kind, **entry}, tmp_path)
        records = dataset.provide(dataset.image_ids(), tmp_path / "out")
        assert {r.status for r in records} == {"ok"}
        split = "train" if entry.get("split") == "train" else "test"
        assert {r.split for r in records} == {split}
        assert all(record.licence for record in records)
        return [record.image for record in records]

    with pytest.raises(DatasetError, match=r"run `icmbench fetch .* div2k-valid`"):
        images("div2k")
    fetched(tmp_path, "div2k-valid", "DIV2K_valid_HR/0801.png", "__MACOSX/x/._0801.png")
    assert images("div2k") == ["0801.png"]
    fetched(tmp_path, "clic2020-mobile", "a.png", "b.png")
    assert images("clic2020", split="mobile", limit=1) == ["a.png"]
    fetched(tmp_path, "tecnick", "t/RGB/RGB_OR_1200x1200/a.png", "t/RGB/RGB_R01_0600x0600/b.png")
    assert images("tecnick") == ["a.png"]
    fetched(tmp_path, "lsdir-val", "val1/HR/val/1.png", "val1/X2/val/1x2.png")
    assert images("lsdir") == ["val+1.png"]
    fetched(tmp_path, "lsdir-train", "0001000/1.png", "0002000/2.png")
    assert images("lsdir", split="train") == ["0001000+1.png", "0002000+2.png"]
    fetched(tmp_path, "flickr30k", "flickr30k-images/1.png")
    with pytest.raises(DatasetError, match=r"0 files results_20130124\.token"):
        images("flickr30k")
    (tmp_path / "flickr30k" / "results_20130124.token").write_text("1.png#0\ta cat .\n")
    assert images("flickr30k") == ["1.png"]
    names = [f"images1024x1024/{n // 1000 * 1000:05d}/{n:05d}.png" for n in (7, 59_999, 60_000)]
    fetched(tmp_path, "ffhq-1024", *names)
    assert images("ffhq") == ["60000+60000.png"]
    faces = make_dataset("ffhq", {}, tmp_path)
    faces.provide(faces.image_ids(), tmp_path / "out")
    (face,) = faces.merge_annotations({"60000+60000.png": tmp_path / "out"}).landmarks[
        "60000+60000.png"
    ]
    assert face == {"bbox": pytest.approx([30 * 0.15, 20 * 0.25, 30 * 0.7, 20 * 0.65])}
    assert images("ffhq", split="train", limit=1) == ["00000+00007.png"]
    for entry, message in (
        ({"type": "ffhq", "size": 256}, "size: 256 is neither 128 nor 1024"),
        ({"type": "div2k", "split": "val"}, "split: val is not valid or train"),
        ({"type": "coco2017", "split": "test"}, "split: test is neither val nor train"),
    ):
        with pytest.raises(ConfigError, match=message):
            make_dataset("x", entry, tmp_path)


def test_offline_is_an_error_of_the_plan(tmp_path: Path, no_network: None) -> None:
    config = {"datasets": {"kodak": {}}, "codecs": CODECS, "downloads": str(tmp_path / "dl")}
    make_run(config)
    with pytest.raises(ConfigError) as caught:
        make_run({**config, "offline": True})
    assert str(caught.value) == (
        f"data set kodak: kodak: {tmp_path}/dl/kodak/kodim01.png (size not stated, "
        "https://r0k.us/graphics/kodak/kodak/kodim01.png) and 23 more files not fetched, and "
        f"offline is set: run `icmbench fetch --downloads {tmp_path}/dl kodak` where "
        f"there is a network, and copy {tmp_path}/dl/kodak here"
    )
    make_run({**config, "offline": True, "datasets": {"kodak": {"path": "x"}}})


def test_offline_a_set_names_its_file_once(tmp_path: Path, no_network: None) -> None:
    """Sets whose images are listed from fetched files, for testing and for training."""
    config = {
        "datasets": {"div2k": {}},
        "codecs": {"mpd": {"points": [{"state": 0}]}},
        "training": {
            "data": {"coco": {"type": "coco2017", "split": "train"}},
            "mpd": {"contexts": {"images": 2}},
        },
        "downloads": str(tmp_path / "dl"),
    }
    for offline, sentence in ((True, "and offline is set: run"), (False, "is not in")):
        with pytest.raises(ConfigError) as caught:
            make_run({**config, "offline": offline})
        lines = str(caught.value).splitlines()[1:]
        for source, file in (
            ("div2k-valid", "DIV2K_valid_HR.zip"),
            ("coco2017-annotations", "annotations_trainval2017.zip"),
        ):
            (line,) = [text for text in lines if f"{source}: " in text or f"{source} is" in text]
            command = f"run `icmbench fetch --downloads {tmp_path}/dl {source}`"
            assert all(part in line for part in (file, "MB", "http", sentence, command))
        assert all(("offline is set" in line) is offline for line in lines)


def test_own_sources_are_checked(tmp_path: Path) -> None:
    config = {"datasets": {"scenes": {"test": 2}}, "codecs": CODECS}
    assert complete({**config, "sources": "~/mine.yaml"})["sources"] == str(
        Path.home() / "mine.yaml"
    )
    with pytest.raises(ConfigError, match=r"sources: .*none\.yaml: cannot be read as YAML"):
        make_run({**config, "sources": str(tmp_path / "none.yaml")})


# The rule.


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as found:
        yield found


def mirrored(folder: Path, site: Site) -> dict[str, Any]:
    """A configuration that takes DIV2K's valid and a further source from the local server."""
    picture = folder / "0801.png"
    write_png(picture, make_picture(40, 50))
    site.files = {"/0801.png": picture.read_bytes(), "/b.bin": b"b" * 1000}
    common = {"licence": "CC0", "homepage": "http://x.org/", "bases": [f"{site.address}/"]}
    sources = {
        "div2k-valid": {"title": "DIV2K", "files": ["0801.png"], **common},
        "other": {"title": "Other", "files": ["b.bin"], **common},
    }
    (folder / "sources.yaml").write_text(yaml.safe_dump(sources))
    return {
        "datasets": {"scenes": {"test": 2, "size": 64}},
        "codecs": CODECS,
        "metrics": ["psnr_rgb"],
        "sources": "sources.yaml",
    }


@pytest.mark.workflow
def test_a_dry_run_fetches_nothing(site: Site, tmp_path: Path) -> None:
    """Kodak's images are fetched by a job of this machine before those that read them."""
    config = mirrored(tmp_path, site) | {"datasets": {"kodak": {}}}
    text = succeed(snakemake(tmp_path, config, "--dry-run", "results/datasets/kodak/manifest.csv"))
    counts = dict(re.findall(r"^(\w+) +(\d+)$", text, re.M))
    assert counts == {"dataset_shard": "1", "download": "1", "manifest": "1", "total": "3"}
    (rule,) = re.findall(r"^rule download:\n.*?^rule", RULES.read_text("utf-8"), re.M | re.S)
    assert "\n    localrule: True\n" in rule
    text = succeed(snakemake(tmp_path, config, "--dry-run", "downloads"))
    assert dict(re.findall(r"^(\w+) +(\d+)$", text, re.M))["download"] == "1"
    assert site.asked == []


@pytest.mark.slow
@pytest.mark.workflow
def test_the_rule_fetches_by_name(site: Site, tmp_path: Path) -> None:
    """One source, then a run that is made of it; offline from then on."""
    config = mirrored(tmp_path, site)
    other = f"downloads/other/{FETCHED}"
    succeed(snakemake(tmp_path, config, other))
    assert (tmp_path / "downloads" / "other" / "b.bin").read_bytes() == b"b" * 1000
    assert site.asked == [("/b.bin", 0)]
    assert "b.bin" in (tmp_path / "results" / "logs" / "download" / "other.log").read_text()
    run = {**config, "datasets": {"div2k": {}}}
    done = snakemake(tmp_path, run, "--dry-run")
    assert done.returncode != 0
    assert "run `icmbench fetch --sources sources.yaml div2k-valid`" in done.stdout + done.stderr
    succeed(snakemake(tmp_path, config, f"downloads/div2k-valid/{FETCHED}"))
    site.asked.clear()
    target = "results/datasets/div2k/manifest.csv"
    succeed(snakemake(tmp_path, {**run, "offline": True}, target))
    text = (tmp_path / target).read_text()
    assert "0801.png" in text
    assert "CC0" in text  # the licence that the configuration's list states
    assert site.asked == []
    text = succeed(snakemake(tmp_path, run, other, target))
    assert re.search("Nothing to be done", text)
