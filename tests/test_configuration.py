"""The configuration: every mistake is named with its place and its cure."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import pytest
import yaml

from icmbench.codecs import registry
from icmbench.codecs.raw_test import RawTest
from icmbench.config import sections
from icmbench.config.command_line import with_given_values
from icmbench.config.load import complete
from icmbench.config.plan import Plan
from icmbench.config.run import make_run
from icmbench.config.sections import schema, schema_text
from icmbench.core.errors import ConfigError, IcmbenchError
from icmbench.training.section import TrainingSection, network

BASE: dict[str, Any] = {
    "datasets": {"scenes": {"test": 2}},
    "codecs": {"jpeg": {"points": [{"quality": [10, 50]}]}},
    "metrics": ["psnr_rgb"],
}


@pytest.mark.parametrize("path", ["config.yaml", "configs/micro.yaml", "configs/kodak.yaml"])
def test_shipped_configurations_are_valid(root: Path, path: str) -> None:
    run = make_run(yaml.safe_load((root / path).read_text()))
    assert run.config["limits"]["seconds_per_image"] > 0
    for family in run.codecs.values():
        full = [p for p in family.points if dict(p.encode).get("scale", 1.0) == 1.0]
        if "micro" not in path and family.name != "identity":
            # The bundled model of diff-icmh has four rates; thumbnail is a control, no anchor.
            fewest = {"diff-icmh": 4, "thumbnail": 3}.get(family.codec, 6)
            assert len(full) >= fewest, family.name


def test_defaults_are_filled() -> None:
    run = make_run(BASE)
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
def test_mistakes_are_named(place: tuple[str, ...], value: Any, message: str) -> None:
    config = copy.deepcopy(BASE)
    inner: Any = config
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(IcmbenchError, match=message):
        make_run(config)


ICMH: dict[str, Any] = {**BASE, "codecs": {"diff-icmh": {"points": [{"rate": [1, 2]}]}}}


@pytest.mark.parametrize(
    ("training", "message"),
    [
        (
            {"diff_icmh": {"prior": {"steps": 5}}},
            r"prior\.steps makes another one, but training\.diff_icmh\.stage_2\.steps",
        ),
        ({"start": "scratch"}, r"training\.mpd\.autoencoder\.steps is 0"),
        (
            {"diff_icmh": {"variants": {"no-sc": {"semantic": 0}}}},
            r"variants: .*\.stage_1\.steps, .*\.stage_2\.steps are 0",
        ),
        ({"diff_icmh": {"variants": {"no sc": {}}}}, r"'no sc' does not match"),
        (
            {"diff_icmh": {"codec": {"rate": [1]}}},
            r"training\.diff_icmh\.codec: unknown key 'rate'.*'rates'",
        ),
        ({"data": {"scenes": {"train": 2, "tags": "x"}}}, r"'x' is not of type 'array'"),
    ],
)
def test_training_of_diff_icmh_is_checked(training: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_run({**ICMH, "training": training})


FORMER = {
    "pool": "data",
    **dict.fromkeys(
        ["autoencoder", "contexts", "reverse", "vgg", "pseudo_labels", "features", "retrieval"],
        "mpd",
    ),
    **dict.fromkeys(["prior", "tagger", "stage_1", "stage_2", "codec", "variants"], "diff_icmh"),
    **dict.fromkeys(["detector", "segmenter", "landmarks"], "tasks"),
}


@pytest.mark.parametrize("key", FORMER)
def test_former_keys_of_training_name_their_new_place(key: str) -> None:
    """Every key of the section when it was flat; only `pool` has another name now."""
    place = "training.data" if key == "pool" else f"training.{FORMER[key]}.{key}"
    with pytest.raises(ConfigError, match=rf"^training\.{key} is now {place}: move it there$"):
        make_run({**BASE, "training": {key: {"steps": 1}}})


def test_former_keys_are_listed_together() -> None:
    with pytest.raises(ConfigError) as caught:
        make_run({**BASE, "training": {"vgg": {"steps": 1}, "stage_1": {}, "strat": "scratch"}})
    text = str(caught.value)
    assert "training.vgg is now training.mpd.vgg" in text
    assert "training.stage_1 is now training.diff_icmh.stage_1" in text
    assert "training: unknown key 'strat': did you mean 'start'" in text


def test_the_written_schema_is_current(root: Path) -> None:
    """`make docs` writes it."""
    assert (root / "schemas" / "config.schema.json").read_text(encoding="utf-8") == schema_text()


def test_every_default_is_legal_and_every_key_is_described() -> None:
    filled = complete({"datasets": {}, "codecs": {}} | BASE)
    jsonschema.Draft202012Validator(schema()).validate(filled)
    for path, rules in leaves(schema(), ""):
        assert "default" in rules, path
        assert rules.get("description"), path


def leaves(rules: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The keys that hold no keys of their own, by path, but for entries and what must be given."""
    for key, inner in rules["properties"].items():
        if "properties" in inner:
            yield from leaves(inner, f"{path}.{key}")
        elif key not in rules.get("required", ()):
            yield f"{path}.{key}", inner


class PlantedTraining(TrainingSection):
    key = "planted"
    model = "planted"
    keys: ClassVar[dict[str, Any]] = {"network": network(4, 1e-3, "crops")}
    count_keys: ClassVar[dict[str, str]] = {"network": "steps"}


SECTION = PlantedTraining()


def test_a_codec_adds_its_section_in_its_own_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, defaults and errors of a section that nothing in the package names."""
    planted = type("Planted", (RawTest,), {"name": "planted", "training_section": __name__})
    found = {**registry.codecs(), "planted": planted}
    monkeypatch.setattr(registry, "codecs", lambda: found)
    registry.training_sections.cache_clear()
    sections.schema.cache_clear()
    try:
        filled = complete({**BASE, "training": {"planted": {"network": {"steps": 7}}}})
        expected = {"steps": 7, "batch": 4, "learning_rate": 1e-3}
        assert filled["training"]["planted"] == {"network": expected}
        with pytest.raises(ConfigError, match=r"training\.planted: unknown key 'netwrok'"):
            complete({**BASE, "training": {"planted": {"netwrok": {}}}})
        with pytest.raises(ConfigError, match=r"network is now training\.planted\.network"):
            complete({**BASE, "training": {"network": {}}})
    finally:
        registry.training_sections.cache_clear()
        sections.schema.cache_clear()


def test_sections_are_planned_without_torch() -> None:
    code = "import sys; from icmbench.config.sections import schema; schema(); "
    code += "assert not {'torch', 'cv2'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_variant_is_named() -> None:
    config = {
        **BASE,
        "codecs": {"diff-icmh": {"points": [{"rate": 1, "variant": "no-sv"}]}},
        "training": {
            "diff_icmh": {"stage_2": {"steps": 2}, "variants": {"no-sc": {"semantic": 0}}}
        },
    }
    with pytest.raises(ConfigError, match=r"variant.*'no-sv': did you mean 'no-sc'"):
        make_run(config)


def test_diff_icmh_alone_trains_nothing_of_mpd() -> None:
    run = make_run({**ICMH, "training": {"diff_icmh": {"stage_2": {"steps": 3}}}})
    assert run.training.trained == {"mpd": (), "diff_icmh": ("stage_2",), "tasks": ()}
    assert run.training.encoder_parts == ()
    assert run.training.data


def test_all_problems_are_listed_at_once() -> None:
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
        "training": {"data": {"kodak": {}, "mine": {"type": "folder"}}},
    }
    with pytest.raises(ConfigError) as caught:
        make_run(config)
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
        "training.data.mine",
    ):
        assert text.count(part) >= 1, (part, text)
    assert "11 problems" in text, text
    assert text.count("'avif'") == 1
    assert "jpeg'" not in text.replace("did you mean 'jpeg'", "")  # known, although its points fail


@pytest.mark.parametrize("section", ["datasets", "codecs", "tasks"])
@pytest.mark.parametrize("value", [None, 5, [], [None], [{}]])
def test_a_section_that_is_no_mapping_is_a_problem(section: str, value: Any) -> None:
    """Such as `tasks:` with all its lines commented out."""
    with pytest.raises(ConfigError, match=rf"{section}: .* is not of type 'object'"):
        make_run({**BASE, section: value})


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
    place: tuple[str | int, ...], value: Any, message: str
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
        make_run(config)


def test_files_that_a_task_names_are_checked(tmp_path: Path) -> None:
    task = {"type": "onnx-detector", "datasets": ["scenes"], "layout": "yolox", "size": 64}
    task |= {"classes": "coco", "model": str(tmp_path / "net.onnx")}
    config = {**BASE, "tasks": {"boxes": task}}
    with pytest.raises(ConfigError, match=r"tasks\.boxes\.model: .*net\.onnx: no such file"):
        make_run(config)
    (tmp_path / "net.onnx").touch()
    assert list(make_run(config).tasks) == ["boxes"]


def test_a_picture_that_is_absent_is_a_notice() -> None:
    here = {"dataset": "scenes", "image": "test-00001"}
    gone = {"dataset": "scenes", "image": "test-0001"}
    config = {**BASE, "visual": [{**gone, "bpp": 1}, {**here, "bpp": 1}], "hierarchy": [gone]}
    run = make_run(config)
    assert run.config["visual"] == [{**here, "bpp": 1}]
    assert run.config["hierarchy"] == []
    first, second = run.notices
    assert first.startswith("visual[0] is left out: data set 'scenes' has no image 'test-0001'")
    assert "nearest: test-00001" in first
    assert second.startswith("hierarchy[0] is left out")


def test_null_takes_an_entry_out_with_what_refers_to_it(root: Path) -> None:
    """What `--config 'datasets={scenes: null}'` makes of config.yaml."""
    config = yaml.safe_load((root / "config.yaml").read_text())
    config["datasets"]["scenes"] = None
    config["codecs"]["avif"] = None
    run = make_run(config)
    assert list(run.datasets) == ["photos", "text", "codes"]
    assert "avif" not in run.codecs
    assert ("text", "avif") not in Plan(run).units()
    assert run.config["anchors"] == ["jpeg"]
    assert list(run.tasks) == ["reading", "codes", "classes"]
    pictured = {item["dataset"] for item in run.config["task_pictures"]}
    assert pictured == {"photos", "text", "codes"}
    assert {item["dataset"] for item in run.config["visual"]} == {"photos"}
    assert any(notice.startswith("datasets.scenes is null") for notice in run.notices)
    gone = dict.fromkeys(("photos", "text", "codes"))
    config["datasets"] = {**gone, "scenes": {"test": 2}}
    run = make_run(config)
    assert run.config["robustness"]["trials"] == 0
    with pytest.raises(ConfigError, match="datasets"):
        make_run({**config, "datasets": gone})


def test_too_many_shards_get_a_hint() -> None:
    config = {**BASE, "datasets": {"scenes": {"test": 16}}}
    assert make_run({**config, "shards": 4}).notices == ()
    (hint,) = make_run({**config, "shards": 5}).notices
    assert hint.startswith("shards: 5 for at most 16 images")


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "weights").mkdir()
    given = {"results": "~/out", "downloads": "~/down", "weights": "~/weights"}
    run = make_run({**BASE, **given})
    assert run.config["results"] == str(tmp_path / "out")
    assert run.config["downloads"] == str(tmp_path / "down")
    assert run.config["weights"] == str(tmp_path / "weights")
    assert run.datasets["scenes"].downloads.is_relative_to(tmp_path)


CONTRASTIVE = ("config.yaml", "configs/kodak.yaml")  # camvid, coco and helen need their data


@pytest.mark.parametrize("path", CONTRASTIVE)
def test_the_chain_of_the_paper_is_in_the_tables(root: Path, path: str) -> None:
    """Contrastive features guide an entry of its own, at every state."""
    run = make_run(yaml.safe_load((root / path).read_text()))
    family = run.codecs["mpd-features"]
    assert len(family.points) == 8
    assert {dict(point.encode)["guide"] for point in family.points} == {"fft"}
    assert "features-fft" in run.training.encoder_parts


@pytest.mark.parametrize("path", ["scenes", "kodak", "ablation-diff-icmh"])
def test_clusters_can_be_drawn_where_nothing_is_trained(root: Path, path: str) -> None:
    """`figure_mpd_4` needs a training set from every shipped configuration."""
    config = yaml.safe_load((root / "configs" / f"{path}.yaml").read_text())
    assert make_run(config).training.sources["scenes"].image_ids()


def test_values_of_the_command_line_have_the_types_of_a_file() -> None:
    """Snakemake gives texts for all scalars below the first level, and for null at the first."""
    given = {
        "datasets": {"scenes": {"test": "3", "size": "128"}, "photos": "null"},
        "codecs": {"jpeg": {"points": [{"quality": ["10", "2.5"]}]}},
        "models": "null",
        "device": "cpu",
        "shards": 2,
        "weights": "{a}: [b",
        "results": "2024-13-45",
        "downloads": "'2024'",
        "texts": ["0x_", "", "2.5"],
    }
    merged = {**given, "datasets": {**given["datasets"], "kept": {"seed": "1"}}}
    found = with_given_values(merged, given)
    assert found == {
        "datasets": {"scenes": {"test": 3, "size": 128}, "photos": None, "kept": {"seed": "1"}},
        "codecs": {"jpeg": {"points": [{"quality": [10, 2.5]}]}},
        "models": None,
        "device": "cpu",
        "shards": 2,
        "weights": "{a}: [b",
        "results": "2024-13-45",
        "downloads": "2024",
        "texts": ["0x_", "", 2.5],
    }


@pytest.mark.parametrize("key", ["results", "downloads", "models", "weights"])
def test_braces_in_paths_are_named(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snakemake takes them for wildcards; a relative path may spare them."""
    folder = tmp_path / "a{b}" / "c"
    folder.mkdir(parents=True)
    found = {
        "datasets": {"photos": {"only": ["retina"], "max_megapixels": 0.01}},
        "codecs": {"jpeg": {"points": [{"quality": 9}]}}, "metrics": ["psnr_rgb"],
        key: str(folder),
    }  # fmt: skip
    with pytest.raises(ConfigError, match=rf"{key}: .*a\{{b\}}/c: Snakemake takes braces"):
        make_run(found)
    monkeypatch.chdir(folder.parent)
    assert make_run(found).config[key] == "c"
