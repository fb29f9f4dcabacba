"""The configuration: every mistake is named with its place and its cure."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from icmbench.configuration import make_run
from icmbench.errors import ConfigError

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
    for family in run.families.values():
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
        (("codecs", "again"), {"codec": "jpeg", "points": [{"quality": 10}]}, r"both.*again"),
        (("datasets", "photo"), {}, r"type of data set 'photo' 'photo'.*'photos'"),
        (("datasets", "scenes"), {"tset": 3}, r"option of data set 'scenes' 'tset'.*'test'"),
        (("metrics",), ["psnr"], r"unknown metric 'psnr': did you mean 'psnr_"),
        (("anchors",), ["avif"], r"unknown anchor .*drop the anchor.* 'avif'"),
        (("visual",), [{"dataset": "x", "image": "y", "bpp": 1}], r"data set of visual 'x'"),
        (
            ("visual",),
            [{"dataset": "scenes", "image": "test-0001", "bpp": 1}],
            r"image of data set 'scenes' in visual 'test-0001': did you mean 'test-00001'",
        ),
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
    with pytest.raises(ConfigError, match=message):
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
    assert (run.trained, run.guides, run.icmh) == ((), (), ("stage_2",))
    assert run.pool
