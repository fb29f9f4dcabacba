"""Tags of training images by an imported RAM++: once per image, then prompts of both stages."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_diff_icmh_training as icmh
import tiny_prior
import tiny_ram
import torch
from conftest import make_picture
from running import snakemake, succeed
from test_configuration import ICMH

from icmbench.codecs.diff_icmh.importing.ram_plus import read_ram_plus
from icmbench.codecs.diff_icmh.training import codec as train_codec
from icmbench.config.parts import Parts
from icmbench.config.plan import Plan
from icmbench.config.run import make_run
from icmbench.core.errors import DatasetError, IcmbenchError
from icmbench.core.images.image_files import write_png
from icmbench.datasets.records import Record, read_records, write_records
from icmbench.jobs.training_tags import training_tags
from icmbench.training.data import TrainingData, read_provided
from icmbench.training.image_tags import read_image_tags, tags_of_images
from icmbench.training.loop import Session
from icmbench.training.records import TrainingRecord, training_record

pytestmark = pytest.mark.usefixtures("one_thread")

pool, models = icmh.pool, icmh.models
IMAGES = 7


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a prior, `sd`, and of RAM++, `ram.pth` and `thresholds.txt`."""
    folder = tmp_path_factory.mktemp("published")
    tiny_prior.make_diffusers(folder / "sd")
    torch.save(tiny_ram.checkpoint(tiny_ram.tiny_state(3)), folder / "ram.pth")
    # Within the scores of the images below: they have different tags.
    (folder / "thresholds.txt").write_text("0.74\n0.73\n0.78\n")
    return folder


@pytest.fixture(scope="module")
def tagger(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tagger")
    tags = published / "sd" / "tags.txt"
    read_ram_plus(published / "ram.pth", tags, published / "thresholds.txt").write(folder)
    return folder / "tagger.safetensors"


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A training set: its list and its images, one of which is broken."""
    folder = tmp_path / "mine"
    records = []
    for number in range(IMAGES):
        path = folder / "images" / f"{number}.png"
        write_png(path, make_picture(40 + 8 * number, 72, number))
        records.append(training_record(Record(path.name, path.name), path))
    records.append(training_record(Record("broken", "broken.png", status="unreadable"), Path()))
    write_records(folder / "records.csv", records, TrainingRecord)
    return folder


def tag(listed: Path, tagger: Path, shards: int) -> list[Path]:
    paths = [listed / f"{shards}-{shard}.csv" for shard in range(shards)]
    for shard, path in enumerate(paths):
        training_tags(
            "mine", str(shard), shards=shards, records=listed / "records.csv",
            images=listed / "images", tagger=tagger, device="cpu", threads=1, tags=path,
        )  # fmt: skip
    return paths


def test_every_image_is_tagged_once_whatever_the_shards(listed: Path, tagger: Path) -> None:
    """As by the codec's own tagger, image by image; the same bytes every time."""
    from icmbench.codecs.diff_icmh.tagging import load_tagging
    from icmbench.core.images.image_files import read_image

    (whole,) = tag(listed, tagger, 1)
    parts = tag(listed, tagger, 3)
    rows = [line for path in parts for line in path.read_text().splitlines()[1:]]
    assert sorted(rows) == whole.read_text().splitlines()[1:]
    assert len(rows) == IMAGES
    first = [path.read_bytes() for path in parts]
    assert [path.read_bytes() for path in tag(listed, tagger, 3)] == first
    tagging = load_tagging(tagger, ("cat", "dog", "hat"), "cpu")
    found, expected = read_image_tags(parts), {}
    for record in read_records(listed / "records.csv", TrainingRecord):
        if record.status == "ok":
            image, _ = read_image(listed / "images" / record.path)
            expected[record.pixels] = tagging(image, np.zeros((0, 0, 0), np.float32))
    assert found == expected
    assert len({*found.values()}) > 2
    data = read_provided([listed / "records.csv"], [listed / "images"], smallest=48)
    assert tags_of_images(data, found) == [expected[pixels] for pixels in data.pixels]
    assert 0 < len(data.pixels) < IMAGES
    with pytest.raises(DatasetError, match=r"png: \d of \d training images have no tags: remove"):
        tags_of_images(data, read_image_tags(parts[:1]))
    parts[0].write_text("image,tags\n1,2\n")
    with pytest.raises(DatasetError, match=r"3-0\.csv: no tags of training images"):
        read_image_tags(parts)
    write_png(listed / "images" / "3.png", make_picture(64, 72, 9))
    with pytest.raises(DatasetError, match=r"3\.png: its pixels have changed"):
        tag(listed, tagger, 1)


def test_they_are_the_prompts_of_a_step(
    pool: TrainingData, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every sample its image's, or none where they are dropped; beside those of the source."""
    given: list[tuple[int, ...]] = []
    images: list[int] = []
    losses, crops = train_codec.codec_losses, TrainingData.crops_of

    def listen(*arguments: Any) -> Any:
        given.extend(arguments[3])
        return losses(*arguments)

    def draw(*arguments: Any) -> Any:
        found = crops(*arguments)
        images.extend(found[1])
        return found

    monkeypatch.setattr(train_codec, "codec_losses", listen)
    monkeypatch.setattr(TrainingData, "crops_of", draw)
    monkeypatch.setattr(train_codec, "calibrate", lambda *_: None)
    monkeypatch.setattr(train_codec, "DROPOUT", 0.3)
    pixels = [f"{number:064}" for number in range(len(pool.images))]
    data = dataclasses.replace(pool, pixels=tuple(pixels))
    predicted = {digest: (number % 3,) for number, digest in enumerate(pixels)}
    schedule = dataclasses.replace(icmh.SCHEDULE, steps=4, batch=3)
    train_codec.make_codec(
        tmp_path, icmh.parts(models), schedule, data,
        Session(tmp_path / "c.pt", tmp_path / "losses.csv"), stage=1, weights=icmh.WEIGHTS,
        source_tags={"scenes": icmh.VOCABULARY[2:3]}, image_tags=predicted, crop=icmh.CROP,
        settings=icmh.CODEC, control=icmh.CONTROL,
    )  # fmt: skip
    assert len(given) == 12
    images = images[-12:]  # the first ones set the codec's start
    assert () in given
    names = [name for name, count in data.sources for _ in range(count)]
    classes = train_codec.tag_ids(
        train_codec.tag_training_data(data, {"scenes": icmh.VOCABULARY[2:3]}), icmh.VOCABULARY
    )
    assert any(2 in classes[n] for n, name in enumerate(names) if name == "scenes")
    for tags, image in zip(given, images, strict=True):
        assert tags in ((), tuple(sorted({*classes[image], image % 3})))


def plan(published: Path, **prior: Any) -> Any:
    folder = published / "sd"
    keys = {"from": str(folder), "tags": str(folder / "tags.txt"), **prior}
    section = {"prior": keys, "stage_1": {"steps": 2}, "variants": {"no-tags": {"tags": False}}}
    return make_run({**ICMH, "training": {"diff_icmh": section}, "shards": 2})


def test_a_run_with_an_imported_tagger(published: Path) -> None:
    """It becomes the tagger of the model; without one nothing is tagged."""
    given = {"tagger": str(published / "ram.pth"), "thresholds": str(published / "thresholds.txt")}
    whole = Plan(plan(published, **given))
    parts = Parts(whole)
    tagger = f"{whole.results}/models/diff-icmh/tagger.safetensors"
    assert tagger in parts.icmh_outputs("prior")["weights"]
    assert {*given.values()} < {*parts.icmh_inputs("prior")["published"]}
    for stage in ("stage_1", "stage_2"):
        expected = [f"{whole.results}/training/tags/scenes/{shard}.csv" for shard in (0, 1)]
        trained = stage == "stage_1"
        assert parts.stage_inputs(stage, "main").get("tags") == (expected if trained else None)
    assert tagger in whole.model_files("diff-icmh")
    assert tagger in parts.icmh_weights
    assert any(path.endswith("no-tags/tagger.safetensors") for path in parts.shared_files()[1])
    assert {one.path for one in whole.made() if one.entry.rule == "training_tags"} == {
        "training/tags/scenes/0.csv", "training/tags/scenes/1.csv",
    }  # fmt: skip
    without = Plan(plan(published))
    assert "tags" not in Parts(without).stage_inputs("stage_1", "main")
    assert not any("tagger" in file for file in without.model_files("diff-icmh"))
    assert not [one for one in without.made() if one.entry.rule == "training_tags"]


@pytest.mark.parametrize(
    ("prior", "text"),
    [
        ({"tagger": "ram.pth"}, r"prior\.tagger: needs `thresholds` beside it"),
        ({"thresholds": "thresholds.txt"}, r"prior\.thresholds: needs `tagger` beside it"),
        ({"tagger": "none.pth", "thresholds": "thresholds.txt"}, r"none\.pth: no such file"),
        ({"tagger": "ram-plus", "thresholds": "ram-thresholds"}, r"fetch .*ram-thresholds"),
        ({"from": None, "tags": None, "tagger": "ram.pth"}, r"prior\.tagger: belongs to `from`"),
    ],
)  # fmt: skip
def test_what_belongs_together(prior: Any, text: str, published: Path) -> None:
    ours = {k: str(published / v) if v and "." in v else v for k, v in prior.items()}
    with pytest.raises(IcmbenchError, match=text):
        plan(published, **ours)


@pytest.mark.slow
@pytest.mark.workflow
def test_a_run_tags_and_trains(published: Path, listed: Path, tmp_path: Path) -> None:
    """From the published files to a model whose encoder tags, through the rules."""
    mine = tmp_path / "own"
    shutil.copytree(listed / "images", mine)
    folder = published / "sd"
    prior = {
        "from": str(folder), "tags": str(folder / "tags.txt"),
        "tagger": str(published / "ram.pth"), "thresholds": str(published / "thresholds.txt"),
    }  # fmt: skip
    settings = {
        "lfgcm": {"encoder": [4, 4, 8, 8], "hyper": 8, "latent": 12, "side": 4,
                  "slices": [2, 4, 6], "sft_hidden": 6, "context_hidden": [7, 5]},
        "stage_1": {"steps": 2, "batch": 2}, "stage_2": {"steps": 1, "batch": 2},
    }  # fmt: skip
    config = {
        **ICMH,
        "codecs": {"diff-icmh": {"points": [{"rate": 1, "steps": 2}]}},
        "metrics": ["psnr_rgb"],
        "shards": 2,
        "training": {
            "crop": 64,
            "data": {"mine": {"type": "folder", "path": str(mine)}},
            "diff_icmh": {"prior": prior, **settings},
        },
    }  # fmt: skip
    succeed(snakemake(tmp_path, config, "results/models/diff-icmh/card.json"))
    tags = [tmp_path / f"results/training/tags/mine/{shard}.csv" for shard in (0, 1)]
    assert len(read_image_tags(tags)) == IMAGES
    assert any(read_image_tags(tags).values())
    assert (tmp_path / "results/models/diff-icmh/tagger.safetensors").is_file()
    again = succeed(snakemake(tmp_path, config, "results/models/diff-icmh/card.json"))
    assert "Nothing to be done" in again
