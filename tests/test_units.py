"""Codec entries and points of a data set: `codecs` of its entry, from the plan to the tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import make_picture

from icmbench.config.load import complete
from icmbench.config.plan import Plan
from icmbench.config.resources import Demand
from icmbench.config.run import make_run
from icmbench.core.errors import ConfigError, MeasurementError
from icmbench.core.images.image_files import write_png
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


def test_only_data_sets_that_an_anchor_codes_have_figures_against_it() -> None:
    plan = Plan(make_run(config(anchors=["webp", "again"], rates=[0.5])))
    made = {one.name for one in plan.made("figure")}
    assert {name for name in made if name.startswith(("bd_", "paired_"))} == {
        "bd_webp_photos", "bd_again_photos", "bd_again_few", "paired_photos", "paired_few",
    }  # fmt: skip
    groups = {tuple(sets): {*drawn} for sets, drawn in plan.drawn_by_set()}
    both = {"rd_{dataset}", "rate_time_{dataset}", "bd_again_{dataset}"}
    assert groups == {("photos",): both | {"bd_webp_{dataset}"}, ("few",): both}
    plan = Plan(make_run(config(rates=[0.5])))
    assert "paired_few" not in {one.name for one in plan.made("figure")}
    # Data sets with the same figures are one rule, as without the key.
    assert len(Plan(make_run(config(["jpeg", "webp"]))).drawn_by_set()) == 1


def test_figures_of_comparisons_are_of_data_sets_that_the_compared_entries_code() -> None:
    found = config(["jpeg"])
    for alpha in (0, 0.1, 0.3):
        points = [{"state": [1, 0], "guide": "fft", "alpha": alpha}]
        found["codecs"][f"mpd-{alpha}"] = {"codec": "mpd", "points": points}
    found["codecs"] = {name.replace(".", ""): entry for name, entry in found["codecs"].items()}
    found["anchors"] = ["mpd-0"]
    found["ablation"] = {"full": "mpd-03", "without": {"features": "mpd-0"}, "bpp": [0.1]}
    plan = Plan(make_run(found))
    names = {one.name for one in plan.made("figure", on_demand=True)}
    assert {n for n in names if n.startswith(("alpha_sweep", "ablation_"))} == {
        "alpha_sweep_fft_photos", "ablation_photos_0",
    }  # fmt: skip


def test_a_codec_entry_that_codes_no_data_set_is_left_out() -> None:
    found = config(["jpeg"], anchors=["jpeg", "webp"], hierarchy=[])
    found["datasets"]["photos"]["codecs"] = ["jpeg", "again"]
    found["codecs"]["mpd"] = {"points": [{"state": [1, 0]}]}
    run = make_run(found)
    assert list(run.codecs) == ["jpeg", "again"]
    assert [n for n in run.notices if "no data set names it" in n] == [
        f"codecs.{name} is left out: no data set names it in its key codecs (`datasets`)"
        for name in ("webp", "mpd")
    ]
    assert run.config["anchors"] == ["jpeg"]
    plan = Plan(run)
    assert plan.mpd == []
    assert "tables/mpd_states.csv" not in {one.path for one in plan.made()}


def test_results_of_a_folder_are_looked_for_where_they_are_wanted(tmp_path: Path) -> None:
    for point in ("q1", "q2"):
        (tmp_path / "theirs" / point).mkdir(parents=True)
        write_png(tmp_path / "theirs" / point / "retina.png", make_picture(100, 100))
        (tmp_path / "theirs" / point / "retina.bin").write_bytes(bytes(500))
    found = config({"theirs": [{"point": "q1"}], "jpeg": "all"})
    found["datasets"]["photos"].update(only=["astronaut"], codecs=["jpeg", "webp"])
    points = [{"point": ["q1", "q2"]}]
    found["codecs"]["theirs"] = {
        "codec": "folder", "path": str(tmp_path / "theirs"), "points": points,
    }  # fmt: skip
    del found["codecs"]["again"]
    assert not [notice for notice in make_run(found).notices if "missing" in notice]
    del found["datasets"]["photos"]["codecs"]
    missing = [notice for notice in make_run(found).notices if "missing" in notice]
    assert [notice.partition(": 1 of 1")[0] for notice in missing] == [
        "codecs.theirs: q1", "codecs.theirs: q2",
    ]  # fmt: skip


def test_damage_needs_a_codec_of_this_run_on_the_data_set(tmp_path: Path) -> None:
    (tmp_path / "q1").mkdir()
    write_png(tmp_path / "q1" / "retina.png", make_picture(100, 100))
    (tmp_path / "q1" / "retina.bin").write_bytes(bytes(500))
    found = config(["theirs"])
    points = [{"point": ["q1"]}]
    found["codecs"]["theirs"] = {"codec": "folder", "path": str(tmp_path), "points": points}
    plan = Plan(make_run(found))
    assert not plan.damages
    assert not [one.path for one in plan.made() if "robustness" in one.path]


def test_every_wrong_choice_is_listed() -> None:
    found = config(["jpge"])
    found["datasets"]["photos"]["codecs"] = {"jpeg": [{"quality": 11}]}
    with pytest.raises(ConfigError, match=r"(?s)2 problems.*quality: 11.*jpge"):
        make_run(found)


def test_a_part_of_a_run_that_has_no_streams_is_named() -> None:
    filled = complete(config())
    with pytest.raises(ConfigError, match="no streams of webp on few"):
        chosen_units(filled, ["few"], ["webp"])


def test_space_on_the_disk_is_that_of_the_points_that_are_coded() -> None:
    run = make_run(config())
    demand = Demand(run, cluster=False)
    full, part = (demand.reconstructions_mb(name, "jpeg", 10_000) for name in ("photos", "few"))
    assert part / full == pytest.approx(3 / 4, rel=0.02)
