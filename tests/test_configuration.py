"""The configuration: every mistake is named with its place and its cure."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from icmbench.config.run import make_run
from icmbench.core.errors import ConfigError, IcmbenchError

BASE: dict[str, Any] = {
    "datasets": {"scenes": {"test": 2}},
    "codecs": {"jpeg": {"points": [{"quality": [10, 50]}]}},
    "metrics": ["psnr_rgb"],
}


@pytest.fixture
def schema(root: Path) -> Path:
    return root / "schemas" / "config.schema.json"


@pytest.mark.parametrize("path", ["config.yaml", "configs/micro.yaml", "configs/kodak.yaml"])
def test_shipped_configurations_are_valid(root: Path, schema: Path, path: str) -> None:
    run = make_run(yaml.safe_load((root / path).read_text()), schema)
    assert run.config["limits"]["seconds_per_image"] > 0
    for family in run.codecs.values():
        full = [p for p in family.points if dict(p.encode).get("scale", 1.0) == 1.0]
        if "micro" not in path and family.name != "identity":
            # The bundled model of diff-icmh has four rates.
            assert len(full) >= (4 if family.codec == "diff-icmh" else 6), family.name


def test_defaults_are_filled(schema: Path) -> None:
    run = make_run(BASE, schema)
    assert run.config["shards"] == 1
    assert run.config["bootstrap"] == {"resamples": 1000, "bd_resamples": 200, "seed": 1}
    assert "shards" not in BASE


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("shrads",), 3, r"top level: unknown key 'shrads': did you mean 'shards'"),
        (("limits",), {"seconds": 3}, r"limits: unknown key 'seconds'.*seconds_per_image"),
        (("shards",), 0, r"shards: 0 is less than the minimum"),
        (("device",), "gpu", r"device: 'gpu' is not one of"),
        (("codecs", "jpeg", "ponts"), [], r"codecs\.jpeg: unknown key 'ponts'.*'points'"),
        (("codecs", "jpeg", "points"), [{"qualty": 3}], r"qualty.*did you mean 'quality'"),
        (("codecs", "jpeg", "points"), [{"quality": 300}], r"quality=300: expected .* 1 to 100"),
        (("codecs", "jpg"), {"points": [{}]}, r"unknown codec 'jpg': did you mean 'jpeg'"),
        (("datasets", "photo"), {}, r"type of data set 'photo' 'photo'.*'photos'"),
        (("datasets", "scenes"), {"tset": 3}, r"option of data set 'scenes' 'tset'.*'test'"),
        (("metrics",), ["psnr"], r"unknown metric 'psnr': did you mean 'psnr_"),
        (("anchors",), ["avif"], r"unknown anchor .*drop the anchor.* 'avif'"),
        (("visual",), [{"dataset": "x", "image": "y", "bpp": 1}], r"data set of visual 'x'"),
        (("datasets", "mine"), {"type": "folder", "path": "/nowhere"}, r"mine.*/nowhere is not a"),
        (("weights",), "/nowhere", r"weights: /nowhere: no such folder"),
        (
            ("codecs", "jpeg", "points"),
            [{"quality": []}],
            r"codecs\.jpeg\.points\.0\.quality: \[\]",
        ),
        (
            ("codecs", "jpeg", "points"),
            [{"quality": 20}, {"quality": 2, "scale": []}],
            r"scale: \[\]",
        ),
        (("datasets", 1), {"type": "photos"}, r"datasets: the key 1 is of type int.* quote it"),
        (("datasets", True), {"type": "photos"}, r"datasets: the key True is of type bool.* quote"),
        ((5,), 3, r"top level: the key 5 is of type int.* quote it"),
        (("datasets", "scenes"), {"test": 2, 5: 1}, r"datasets\.scenes: the key 5 .* quote it"),
        (("anchors",), [2017], r"anchors\.0: 2017 is not of type 'string': quote it"),
        (("results",), "~nobody-here/out", r"results: ~nobody-here/out: there is no such user"),
        (("datasets", "scenes"), {"test": -3}, r"test=-3 is below 0"),
        (("datasets", "scenes"), {"test": True}, r"test=True is not of type int"),
        (("datasets", "mine"), {"type": "folder", "path": 5}, r"path=5 is not of type str"),
        (("bootstrap",), {"resamples": 10}, r"less than the minimum of 20"),
    ],
)
def test_mistakes_are_named(schema: Path, place: tuple[str, ...], value: Any, message: str) -> None:
    config = copy.deepcopy(BASE)
    inner: Any = config
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(IcmbenchError, match=message):
        make_run(config, schema)


ICMH: dict[str, Any] = {**BASE, "codecs": {"diff-icmh": {"points": [{"rate": [1, 2]}]}}}


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"prior": {"steps": 5}}, r"prior\.steps makes another one, but training\.stage_2\.steps"),
        ({"autoencoder": {"steps": 5}}, r"training\.prior\.steps, tagger\.steps, stage_2\.steps"),
        ({"start": "scratch"}, r"training\.autoencoder\.steps is 0|prior\.steps, tagger\.steps"),
        ({"variants": {"no-sc": {"semantic": 0}}}, r"variants: stage_1\.steps and stage_2\.steps"),
        ({"variants": {"no sc": {}}}, r"'no sc' does not match"),
        ({"codec": {"rate": [1]}}, r"training\.codec: unknown key 'rate'.*'rates'"),
        ({"pool": {"scenes": {"train": 2, "tags": "x"}}}, r"'x' is not of type 'array'"),
    ],
)
def test_training_of_diff_icmh_is_checked(
    schema: Path, training: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_run({**ICMH, "training": training}, schema)


def test_an_unknown_variant_is_named(schema: Path) -> None:
    config = {
        **BASE,
        "codecs": {"diff-icmh": {"points": [{"rate": 1, "variant": "no-sv"}]}},
        "training": {"stage_2": {"steps": 2}, "variants": {"no-sc": {"semantic": 0}}},
    }
    with pytest.raises(ConfigError, match=r"variant.*'no-sv': did you mean 'no-sc'"):
        make_run(config, schema)


def test_diff_icmh_alone_trains_nothing_of_mpd(schema: Path) -> None:
    run = make_run({**ICMH, "training": {"stage_2": {"steps": 3}}}, schema)
    assert run.training.trained == {"mpd": (), "diff_icmh": ("stage_2",), "tasks": ()}
    assert run.training.encoder_parts == ()
    assert run.training.data


def test_all_problems_are_listed_at_once(schema: Path) -> None:
    """Schema, names, values, files: one list; a wrong entry is one problem, not several."""
    config = {
        "shrads": 3,
        "device": "gpu",
        "datasets": {"mine": {"type": "folder", "path": "/nowhere"}, "scenes": {"tset": 2}},
        "codecs": {
            "jpeg": {"points": [{"quality": [10, 500]}, {"qualty": 5}]},
            "webp": {"points": []},
        },
        "anchors": ["jpeg", "webp", "avif"],
        "metrics": ["psnr", "lpips"],
        "tasks": {"boxes": {"type": "onnx-detector", "datasets": ["scenes"], "layout": "yolox"}},
        "training": {"pool": {"kodak": {}, "mine": {"type": "folder"}}},
    }
    with pytest.raises(ConfigError) as caught:
        make_run(config, schema)
    text = str(caught.value)
    for part in (
        "unknown key 'shrads'",
        "device: 'gpu'",
        "/nowhere",
        "'tset'",
        "quality=500",
        "'qualty'",
        "codecs.webp.points",
        "unknown anchor",
        "'psnr'",
        "needs the option 'model'",
        "kodak is for testing only",
        "training.pool.mine",
    ):
        assert text.count(part) >= 1, (part, text)
    assert "11 problems" in text, text
    assert text.count("'avif'") == 1
    assert "jpeg'" not in text.replace("did you mean 'jpeg'", "")  # known, although its points fail


@pytest.mark.parametrize("section", ["datasets", "codecs", "tasks"])
@pytest.mark.parametrize("value", [None, 5, [], [None], [{}]])
def test_a_section_that_is_no_mapping_is_a_problem(schema: Path, section: str, value: Any) -> None:
    """Such as `tasks:` with all its lines commented out."""
    with pytest.raises(ConfigError, match=rf"{section}: .* is not of type 'object'"):
        make_run({**BASE, section: value}, schema)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("datasets", "scenes", "test"), None, r"test=None is not of type int"),
        (("datasets", "scenes", "size"), None, r"size=None is not of type int"),
        (("tasks", "boxes", "size"), None, r"size=None is not of type int"),
        (
            ("codecs", "jpeg", "points", 0, "quality"),
            float("inf"),
            r"quality=inf: expected",
        ),
    ],
)
def test_null_and_infinity_are_no_numbers(
    schema: Path, place: tuple[str | int, ...], value: Any, message: str
) -> None:
    config: Any = copy.deepcopy(BASE)
    task = {"type": "onnx-detector", "datasets": ["scenes"], "layout": "yolox"}
    config["tasks"] = {"boxes": {**task, "classes": "coco", "model": "https://x.org/n.onnx"}}
    config["tasks"]["boxes"]["sha256"] = "0" * 64
    inner = config
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(ConfigError, match=message):
        make_run(config, schema)


def test_files_that_a_task_names_are_checked(schema: Path, tmp_path: Path) -> None:
    task = {"type": "onnx-detector", "datasets": ["scenes"], "layout": "yolox", "size": 64}
    task |= {"classes": "coco", "model": str(tmp_path / "net.onnx")}
    config = {**BASE, "tasks": {"boxes": task}}
    with pytest.raises(ConfigError, match=r"tasks\.boxes\.model: .*net\.onnx: no such file"):
        make_run(config, schema)
    (tmp_path / "net.onnx").touch()
    assert list(make_run(config, schema).tasks) == ["boxes"]


def test_a_picture_that_is_absent_is_a_notice(schema: Path) -> None:
    here = {"dataset": "scenes", "image": "test-00001"}
    gone = {"dataset": "scenes", "image": "test-0001"}
    config = {**BASE, "visual": [{**gone, "bpp": 1}, {**here, "bpp": 1}], "hierarchy": [gone]}
    run = make_run(config, schema)
    assert run.config["visual"] == [{**here, "bpp": 1}]
    assert run.config["hierarchy"] == []
    first, second = run.notices
    assert first.startswith("visual[0] is left out: data set 'scenes' has no image 'test-0001'")
    assert "nearest: test-00001" in first
    assert second.startswith("hierarchy[0] is left out")


def test_null_takes_an_entry_out_with_what_refers_to_it(root: Path, schema: Path) -> None:
    """What `--config 'datasets={scenes: null}'` makes of config.yaml."""
    config = yaml.safe_load((root / "config.yaml").read_text())
    config["datasets"]["scenes"] = None
    config["codecs"]["avif"] = None
    run = make_run(config, schema)
    assert list(run.datasets) == ["photos"]
    assert "avif" not in run.codecs
    assert run.config["anchors"] == ["jpeg"]
    assert not run.tasks
    assert not run.config["task_pictures"]
    assert {item["dataset"] for item in run.config["visual"]} == {"photos"}
    assert any(notice.startswith("datasets.scenes is null") for notice in run.notices)
    config["datasets"] = {"photos": None, "scenes": {"test": 2}}
    run = make_run(config, schema)
    assert run.config["robustness"]["trials"] == 0
    with pytest.raises(ConfigError, match="datasets"):
        make_run({**config, "datasets": {"photos": None}}, schema)


def test_too_many_shards_get_a_hint(schema: Path) -> None:
    config = {**BASE, "datasets": {"scenes": {"test": 16}}}
    assert make_run({**config, "shards": 4}, schema).notices == ()
    (hint,) = make_run({**config, "shards": 5}, schema).notices
    assert hint.startswith("shards: 5 for at most 16 images")


def test_a_tilde_is_the_home_folder(
    schema: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "weights").mkdir()
    given = {"results": "~/out", "downloads": "~/down", "weights": "~/weights"}
    run = make_run({**BASE, **given}, schema)
    assert run.config["results"] == str(tmp_path / "out")
    assert run.config["downloads"] == str(tmp_path / "down")
    assert run.config["weights"] == str(tmp_path / "weights")
    assert run.datasets["scenes"].downloads.is_relative_to(tmp_path)


CONTRASTIVE = ("config.yaml", "configs/kodak.yaml")  # camvid, coco and helen need their data


@pytest.mark.parametrize("path", CONTRASTIVE)
def test_the_chain_of_the_paper_is_in_the_tables(root: Path, schema: Path, path: str) -> None:
    """Contrastive features guide an entry of its own, at every state."""
    run = make_run(yaml.safe_load((root / path).read_text()), schema)
    family = run.codecs["mpd-features"]
    assert len(family.points) == 8
    assert {dict(point.encode)["guide"] for point in family.points} == {"fft"}
    assert "features-fft" in run.training.encoder_parts


@pytest.mark.parametrize("path", ["scenes", "kodak", "ablation-diff-icmh"])
def test_clusters_can_be_drawn_where_nothing_is_trained(
    root: Path, schema: Path, path: str
) -> None:
    """`mpd_figure_4` needs a training set from every shipped configuration."""
    config = yaml.safe_load((root / "configs" / f"{path}.yaml").read_text())
    assert make_run(config, schema).training.sources["scenes"].image_ids()
