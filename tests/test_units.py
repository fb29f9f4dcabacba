"""Codec entries and points of a data set: `codecs` of its entry, from the plan to the tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from icmbench.config.load import complete
from icmbench.config.plan import Plan
from icmbench.config.run import make_run
from icmbench.core.errors import ConfigError, MeasurementError
from icmbench.evaluation.shard import make_codec_entry
from icmbench.evaluation.units import units, without_units
from icmbench.transfer.foreign import decoding_config
from icmbench.transfer.results import chosen_units

ROOT = Path(__file__).parents[1]
CHOICE = {"jpeg": [{"quality": [10, 50]}], "again": "all"}


def config(chosen: Any = CHOICE, **more: Any) -> dict[str, Any]:
    text = """
    results: results
    datasets:
      photos: {only: [retina], max_megapixels: 0.01}
      few: {type: photos, only: [retina], max_megapixels: 0.01}
    codecs:
      jpeg: {points: [{quality: [10, 30, 50]}, {quality: 10, scale: 0.5}]}
      webp: {points: [{quality: 10}]}
      again: {codec: jpeg, points: [{quality: [30, 50, 90]}]}
    metrics: [psnr_rgb]
    anchors: [webp]
    robustness: {dataset: few, images: 1, trials: 1}
    """
    made: dict[str, Any] = yaml.safe_load(text)
    made["datasets"]["few"]["codecs"] = chosen
    return {**made, **more}


def test_points_that_a_grid_names_are_coded() -> None:
    plan = Plan(make_run(config()))
    photos, few = plan.entries_on("photos"), plan.entries_on("few")
    assert list(photos) == ["jpeg", "webp", "again"]
    assert list(few) == ["jpeg", "again"]
    assert len(photos["jpeg"].points) == 4
    # A key that a grid does not name may have any value: quality 10 at both scales.
    assert [point.spec for point in few["jpeg"].points] == [
        "jpeg:quality=10", "jpeg:quality=50", "jpeg:quality=10,scale=0.5",
    ]  # fmt: skip
    assert few["again"] == plan.run.codecs["again"]
    # The jobs make the same entry of their settings, and only a restricted one has another.
    assert "only" not in plan.settings_on("photos", "jpeg")
    assert "only" not in plan.settings_on("few", "again")
    made = make_codec_entry("jpeg", {**plan.settings_on("few", "jpeg"), "device": "cpu"})
    assert made.points == few["jpeg"].points
    # A point is shared with an earlier entry only where that entry has it on this data set.
    assert plan.shared("photos") == {"again": {"jpeg": ["jpeg:quality=30", "jpeg:quality=50"]}}
    assert plan.shared("few") == {"again": {"jpeg": ["jpeg:quality=50"]}}


def test_every_unit_has_its_files_and_no_other() -> None:
    plan = Plan(make_run(config()))
    expected = [(data, name) for data in ("photos", "few") for name in ("jpeg", "webp", "again")]
    expected.remove(("few", "webp"))
    assert plan.units() == expected
    made = {one.path for one in plan.made("data")}
    for folder, suffix in (("streams", "zip"), ("measurements", "parquet")):
        found = {path for path in made if path.startswith(f"{folder}/")}
        assert found == {f"{folder}/{data}/{name}/0.{suffix}" for data, name in expected}
    assert {p for p in made if "robustness" in p} == {
        f"robustness/few/{name}.parquet" for name in ("jpeg", "again")
    }
    assert {(u.dataset, u.family) for u in chosen_units(plan.run.config)} == set(expected)
    with_list = Plan(make_run(config(["webp"])))
    assert with_list.units(["few"]) == [("few", "webp")]
    assert with_list.units(codecs=["jpeg"]) == [("photos", "jpeg")]


def test_the_images_of_a_data_set_do_not_depend_on_what_codes_them() -> None:
    filled = complete(config())
    assert without_units(filled["datasets"]["few"]) == {
        "type": "photos", "only": ["retina"], "max_megapixels": 0.01,
    }  # fmt: skip
    assert units(filled, ["few"]) == [("few", "jpeg"), ("few", "again")]


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"jpeg": [{"quality": 11}]}, "no point of the codec entry has quality: 11; its points"),
        ({"jpeg": [{"distance": 1}]}, "no point of the codec entry has distance: 1"),
        ({"jpge": "all"}, "jpge"),
        (["jpge"], "jpeg"),
        ({"jpeg": "some"}, "some"),
        ({"jpeg": []}, "datasets.few.codecs"),
        ([], "datasets.few.codecs"),
    ],
)
def test_wrong_choices_are_named(chosen: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_run(config(chosen))


def test_an_entry_that_is_left_out_is_no_wrong_name() -> None:
    found = config({"webp": "all", "jpeg": "all"}, anchors=[])
    found["codecs"]["webp"] = None
    assert Plan(make_run(found)).units(["few"]) == [("few", "jpeg")]
    found["datasets"]["few"]["codecs"] = ["webp"]
    with pytest.raises(ConfigError, match="none of webp is part of this run"):
        make_run(found)


def test_a_pack_may_choose_points_and_nothing_else(tmp_path: Path) -> None:
    about = {
        "shards": 1, "device": "cpu", "threads": 1, "limits": {"seconds_per_image": 9},
        "codecs": {"jpeg": {"points": [{"quality": [10, 50]}]}},
    }  # fmt: skip
    for legal in ({}, {"codecs": ["jpeg"]}, {"codecs": {"jpeg": "all"}}, {"codecs": CHOICE}):
        config_of = {"config": {**about, "datasets": {"few": legal}}}
        assert decoding_config(Path("f"), config_of, tmp_path)["datasets"] == {"few": legal}
    wrong: list[Any] = [{"path": "/etc"}, {"codecs": {"jpeg": [[1]]}}, {"codecs": {"../x": "all"}}]
    for illegal in [*wrong, {"codecs": "all"}, [], {"codecs": [1]}]:
        with pytest.raises(MeasurementError, match="no legal value of 'datasets'"):
            decoding_config(
                Path("f"), {"config": {**about, "datasets": {"few": illegal}}}, tmp_path
            )


def test_a_figure_of_streams_that_are_not_made_is_refused() -> None:
    found = config(hierarchy=[{"dataset": "few", "image": "retina"}])
    found["codecs"]["mpd"] = {"points": [{"state": [1, 0]}]}
    with pytest.raises(ConfigError, match="data set 'few' is not coded by mpd: add it"):
        make_run(found)
    found["datasets"]["few"]["codecs"] = {"mpd": [{"state": 1}]}
    assert [p.spec for p in Plan(make_run(found)).entries_on("few")["mpd"].points] == [
        "mpd:state=1"
    ]
