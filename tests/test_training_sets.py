"""The key `use` of training sets, and task models that are trained from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import make_picture

from icmbench.config.parts import Parts
from icmbench.config.plan import Plan
from icmbench.config.run import make_run
from icmbench.core.errors import ConfigError
from icmbench.core.images.image_files import write_png

SCENES: dict[str, Any] = {"type": "scenes", "size": 96, "train": 3}


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """Photographs for the codecs alone, scenes for both, scenes for the tasks alone."""
    write_png(tmp_path / "photos" / "a.png", make_picture(40, 40))
    training = {
        "start": "scratch",
        "data": {
            "z-photos": {
                "type": "folder",
                "path": str(tmp_path / "photos"),
                "tags": ["photograph"],
                "use": ["mpd", "diff_icmh"],
            },
            "shared": {**SCENES, "seed": 2},
            "a-tasks": {**SCENES, "seed": 3, "tags": ["rendered"], "use": ["tasks"]},
        },
        "mpd": {"autoencoder": {"steps": 1}, "contexts": {"images": 1}, "reverse": {"steps": 1}},
        "diff_icmh": {part: {"steps": 1} for part in ("prior", "tagger", "stage_1")},
        "tasks": {"landmarks": {"steps": 2, "average": 0.9, "frozen_norms": 0.8}},
    }
    return {
        "datasets": {"scenes": {"test": 2, "train": 0}},
        "codecs": {"mpd": {"points": [{}]}, "diff-icmh": {"points": [{}]}},
        "tasks": {"faces": {"type": "face-alignment", "datasets": ["scenes"]}},
        "training": training,
    }


def sources(files: list[str]) -> list[str]:
    return [Path(file).parent.name for file in files]


def test_a_training_set_serves_the_sections_that_it_names(config: dict[str, Any]) -> None:
    """In the order of the configuration, which decides the order of the images."""
    from icmbench.tasks.training.settings import scene_sets

    run = make_run(config)
    parts = Parts(Plan(run))
    codecs = ["z-photos", "shared"]
    assert sources(parts.mpd_inputs("reverse")["records"]) == codecs
    assert sources(parts.icmh_inputs("prior")["images"]) == codecs
    assert sources(parts.stage_inputs("stage_1", "main")["records"]) == codecs
    assert scene_sets(run.config["training"]) == ["a-tasks", "shared"]
    assert set(run.training.data) == {"z-photos", "shared", "a-tasks"}
    # The vocabulary is of the tags of the sets that Diff-ICMH is trained on.
    tags = parts.icmh_settings("prior")["source_tags"]
    assert tags == {"z-photos": ["photograph"], "shared": []}


def test_a_set_that_nothing_trains_on_is_not_prepared(config: dict[str, Any]) -> None:
    config["training"]["tasks"] = {}
    assert set(make_run(config).training.data) == {"z-photos", "shared"}


def test_a_section_without_a_training_set_is_refused(config: dict[str, Any]) -> None:
    data = config["training"]["data"]
    data["shared"]["use"] = ["mpd"]
    data["z-photos"]["use"] = ["mpd"]
    with pytest.raises(ConfigError, match=r"training\.data: .*`use`.* names diff_icmh"):
        make_run(config)
    data["a-tasks"]["use"] = ["diff_icmh"]
    with pytest.raises(ConfigError, match=r"tasks\.landmarks: no training set .* of scenes"):
        make_run(config)
    data["a-tasks"]["use"] = ["codecs"]
    with pytest.raises(ConfigError, match=r"a-tasks\.use"):
        make_run(config)


def test_task_models_start_as_the_configuration_says(config: dict[str, Any]) -> None:
    settings = make_run(config).training.settings("tasks", "landmarks")
    assert settings["start"] == "scratch"
    assert (settings["average"], settings["frozen_norms"]) == (0.9, 0.8)
    config["training"] = {**config["training"], "start": "bundled"}
    assert make_run(config).training.settings("tasks", "landmarks")["start"] == "bundled"
