"""Task models adapted to a codec: option, planning, training data, training, figure."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT

from icmbench.codecs.registry import codec_class
from icmbench.codecs.specs import expand_points
from icmbench.config.adapted import adapted_settings
from icmbench.config.load import complete
from icmbench.config.plan import Plan
from icmbench.config.run import make_run
from icmbench.config.tasks import task_entry
from icmbench.core.errors import ConfigError, MeasurementError
from icmbench.core.images.image_files import pixel_sha256, read_image
from icmbench.datasets.records import write_records
from icmbench.datasets.scenes import Scenes
from icmbench.evaluation.shard import make_codec_entry
from icmbench.jobs.adapt_task import adapt_task
from icmbench.jobs.bundled_or_trained import TrainingJob
from icmbench.models.tensors import load_network
from icmbench.reporting.figures.adapted import AS_IS, adapted_curves
from icmbench.reporting.tables.tasks import COLUMNS
from icmbench.tasks.adaptation import adaptation
from icmbench.tasks.base import Labels
from icmbench.tasks.bundled import bundled_file
from icmbench.tasks.evaluate import metrics_of
from icmbench.tasks.registry import make_task
from icmbench.tasks.training import train_openmm
from icmbench.tasks.training.adapt import reconstructed
from icmbench.training.data import TrainingData, read_training_data
from icmbench.training.records import TrainingRecord, training_record

CONFIG = {
    "datasets": {"scenes": {"test": 4}},
    "codecs": {
        "jpeg": {"points": [{"quality": [5, 10, 50]}]},
        "webp": {"points": [{"quality": [0, 30]}]},
    },
    "tasks": {
        "plain": {"type": "mmseg", "datasets": ["scenes"]},
        "tuned": {
            "type": "mmseg",
            "datasets": ["scenes"],
            "adapt": {"codec": "jpeg", "points": [{"quality": [5, 10]}], "steps": 30},
        },
    },
    "training": {"data": {"scenes": {"type": "scenes", "train": 3, "test": 0}}},
}


def config(**changes: Any) -> dict[str, Any]:
    """The configuration with other values; keys are paths joined by two underscores."""
    found = copy.deepcopy(CONFIG)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place: dict[str, Any] = found
        for key in parents:
            place = place[key]
        place[last] = value
    return found


# Option and planning.


def test_the_model_says_what_it_is_adapted_to() -> None:
    one = make_task("a", {"type": "mmseg", "adapt": {"codec": "jpeg", "steps": 5}})
    assert one.model == "Fast-SCNN, adapted to jpeg, 5 steps"
    grids = [{"quality": [5, 10]}, {"quality": 75, "scale": 0.5}]
    two = make_task("a", {"type": "mmdet", "adapt": {"codec": "x", "steps": 5, "points": grids}})
    assert two.model == "RTMDet-Ins, adapted to x (quality=5|10; quality=75, scale=0.5), 5 steps"
    assert make_task("a", {"type": "mmseg"}).model == "Fast-SCNN"
    assert adaptation("a", None) is None


@pytest.mark.parametrize(
    ("adapt", "reason"),
    [
        ({"codec": "jpeg"}, "adapt' needs the option 'steps'|adapt needs the option 'steps'"),
        ({"codec": "jpeg", "steps": 0}, "steps=0 is below 1"),
        ({"codec": "jpeg", "steps": 5, "step": 1}, "unknown option .*did you mean 'steps'"),
        ({"codec": "jpeg", "steps": 5, "points": [5]}, "points: 5 is no grid"),
        ({"codec": "jpeg", "steps": 5, "points": [{"quality": 7}]},
         r"tasks\.tuned\.adapt\.points: no point of the codec entry has quality: 7; its points"),
        ({"codec": "jpg", "steps": 5}, "'jpg' is no codec entry of this run; there are jpeg, webp"),
        (300, "adapt=300 is not of type dict"),
    ],
)  # fmt: skip
def test_wrong_options_end_the_planning(adapt: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        make_run(config(tasks__tuned__adapt=adapt))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tasks__plain__type": "mmdet"}, "no task of the model as it is to compare with: add an "),
        ({"tasks__plain__scale": 64}, "no task of the model as it is to compare with: add an "),
        ({"tasks__plain__adapt": {"codec": "webp", "steps": 3}}, "no task of the model as it is"),
        ({"training__data": {"photos": {"only": ["coffee"]}}},
         "no training set of training.data is of scenes"),
        ({"tasks__tuned__checkpoint": "mine.safetensors"}, "leave out checkpoint=mine"),
        ({"datasets__scenes__codecs": ["webp"], "datasets__photos": {}},
         "data set 'scenes' is not coded by jpeg"),
        ({"tasks__tuned__type": "face-alignment"}, "unknown option of task 'tuned' 'adapt'"),
    ],
)  # fmt: skip
def test_what_is_missing_ends_the_planning(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        make_run(config(**changes))


def test_an_adapted_task_joins_a_run() -> None:
    plan = Plan(make_run(config(results="here")))
    specs = ["jpeg:quality=5", "jpeg:quality=10"]
    assert plan.adapted == {
        "tuned": {"against": "plain", "control": None, "codec": "jpeg", "specs": specs}
    }
    assert "adapted-tuned" in plan.losses
    made = {one.path for one in plan.made()}
    assert {"models/tasks/adapted/tuned.safetensors", "figures/adapted_scenes.tuned.png"} <= made
    assert "figures/adapted_scenes.plain.png" not in made
    assert [*plan.run.training.data] == ["scenes"]
    entry = task_entry(plan.run.config, "tuned")
    assert entry["checkpoint"] == "here/models/tasks/adapted/tuned.safetensors"
    assert make_task("tuned", entry).model.startswith("Fast-SCNN, adapted to jpeg (quality=5|10)")
    assert plan.task_files("plain") == ["here/models/tasks/segmenter.safetensors"]
    assert plan.task_files("tuned") == ["here/models/tasks/adapted/tuned.safetensors"]
    settings = adapted_settings(plan.run.config, "tuned", plan.run.codecs)
    made_entry = make_codec_entry(*settings["codec"])
    assert [point.spec for point in made_entry.points] == specs
    assert (settings["steps"], settings["batch"], settings["images"]) == (30, 8, 256)
    control = {"type": "mmseg", "datasets": ["scenes"], "adapt": {"codec": "identity"}}
    for steps, found in ((30, "control"), (31, None)):  # the same training, or none to compare
        given = config(codecs__identity={"points": [{}]}, tasks__control=copy.deepcopy(control))
        given["tasks"]["control"]["adapt"]["steps"] = steps
        assert Plan(make_run(given)).adapted["tuned"]["control"] == found
    without = config()
    del without["tasks"]["tuned"]
    assert Plan(make_run(without)).adapted == {}
    assert not make_run(without).training.data


def test_the_shipped_configuration() -> None:
    text = (ROOT / "configs" / "adapt-tasks.yaml").read_text(encoding="utf-8")
    plan = Plan(make_run(yaml.safe_load(text)))
    assert {each["against"] for each in plan.adapted.values()} == {"segmentation", "detection"}
    assert plan.adapted["segmentation-mpd"]["control"] == "control"
    assert plan.adapted["detection-mpd"]["control"] is None
    figures = {one.path for one in plan.made("figure") if one.name.startswith("adapted")}
    assert "figures/adapted_scenes.segmentation-mpd.png" in figures
    assert "figures/adapted_scenes.control.png" not in figures  # it has no lossy point
    scenes = complete(yaml.safe_load(text))["training"]["data"]["scenes"]
    assert scenes["train"] > 0 == scenes["test"]  # never on test scenes


# Training.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pool") / "scenes"
    (folder / "images").mkdir(parents=True)
    scenes = Scenes("scenes", {"seed": 5, "size": 128, "train": 3, "test": 0}, folder)
    records = scenes.provide(scenes.image_ids(), folder / "images")
    listed = [training_record(each, folder / "images" / each.path) for each in records]
    write_records(folder / "records.csv", listed, TrainingRecord)
    return folder


@pytest.fixture(scope="module")
def data(folder: Path) -> TrainingData:
    paths = sorted(p for p in (folder / "images").glob("*.png") if ".semantic" not in p.name)
    return read_training_data([("scenes", paths)], smallest=32)


def test_scenes_are_as_the_codec_decodes_them(data: TrainingData) -> None:
    """At every point, beside the annotations of the same scene."""
    codec = codec_class("jpeg")()
    points = expand_points("jpeg", [{"quality": [5, 50]}])
    found = reconstructed(codec, points, data, 2)
    assert len(found.images) == len(found.paths) == 4
    originals = dict(zip(data.paths, data.images, strict=True))
    for number, (image, path) in enumerate(zip(found.images, found.paths, strict=True)):
        quality = (5, 50)[number % 2]
        expected = codec.decode(codec.encode(originals[path], quality=quality))
        assert np.array_equal(image, expected)
        assert not np.array_equal(image, originals[path])
        assert found.pixels[number] == pixel_sha256(image)
    assert len({*found.paths}) == 2
    assert len(reconstructed(codec, points, data, 99).images) == 6
    other = reconstructed(codec, points[:1], data, 2)
    assert len({data.digest, found.digest, other.digest}) == 3


def test_adapting_a_model(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is a task's, and its training saw the reconstructions, not the scenes."""
    monkeypatch.setattr(train_openmm, "SETTLING", (1, 2))
    seen = []
    draw = train_openmm.Examples.draw
    monkeypatch.setattr(
        train_openmm.Examples, "draw",
        lambda self, rng, count: (seen.append(self.data), draw(self, rng, count))[1],
    )  # fmt: skip
    plan = Plan(make_run(config(results=str(tmp_path))))
    settings = adapted_settings(plan.run.config, "tuned", plan.run.codecs)
    job = TrainingJob(
        weights=[tmp_path / "tuned.safetensors"],
        settings={**settings, "steps": 2, "batch": 2},
        bundled=[bundled_file("segmenter")],
        records=[folder / "records.csv"],
        images=[folder / "images"],
        history=tmp_path / "history.csv",
        checkpoint=str(tmp_path / "checkpoint.pt"),
        part="segmenter",
    )
    adapt_task(job)
    codec = codec_class("jpeg")()
    scene = read_image(seen[0].paths[0])[0]
    assert np.array_equal(seen[0].images[1], codec.decode(codec.encode(scene, quality=10)))
    assert len(pd.read_csv(tmp_path / "history.csv")) == 2
    state, metadata = load_network(job.weights[0])
    start, _ = load_network(bundled_file("segmenter"))
    assert state.keys() == start.keys()
    assert any((state[key] != start[key]).any() for key in state)
    provenance = metadata["provenance"]
    assert provenance["adapted_to"] == ["jpeg:quality=5", "jpeg:quality=10"]
    assert provenance["images"] == 3
    moved = tmp_path / "adapted" / "tuned.safetensors"
    moved.parent.mkdir()
    job.weights[0].rename(moved)
    entry = {**CONFIG["tasks"]["tuned"], "checkpoint": str(moved)}  # type: ignore[index]
    task = make_task("tuned", entry)
    task.load(Labels("scenes", {}, tuple(metadata["classes"])), "cpu")
    assert np.asarray(task.predict(scene, [])).shape == scene.shape[:2]


# The figure.


OTHER: dict[str, Any] = {"against": "plain", "control": None}


def table() -> pd.DataFrame:
    """Scores of both models at three points of jpeg and one of webp."""
    rows = []
    for task, gain in (("plain", 0.0), ("tuned", 0.1)):
        for quality, codec in ((5, "jpeg"), (10, "jpeg"), (50, "jpeg"), (0, "webp")):
            for metric in metrics_of("semantic"):
                value = 0.2 + quality / 100 + gain
                rows.append(
                    {"dataset": "scenes", "codec": f"{codec}:quality={quality}", "family": codec,
                     "task": task, "model": task, "metric": metric, "value": value,
                     "lo": value - 0.05, "hi": value + 0.05, "ceiling": 0.8 - gain / 2,
                     "images": 24, "failed": 0, "bpp": 0.1 + quality / 50}
                )  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_the_figure_has_both_models_at_every_point() -> None:
    figure = adapted_curves(
        table(),
        "scenes",
        "tuned",
        against="plain",
        control=None,
        codec="jpeg",
        specs=["jpeg:quality=5"],
    )
    axes = figure.axes[0]
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) == 3]
    values = {line.get_linestyle(): np.asarray(line.get_ydata()) for line in lines}
    assert np.allclose(values["--"], [0.25, 0.3, 0.7])
    assert np.allclose(values["-"], [0.35, 0.4, 0.8])
    ceilings = {
        float(line.get_ydata()[0]): line.get_color()
        for line in axes.get_lines()
        if np.ptp(line.get_xdata()) == 1
    }
    assert ceilings[0.8] == AS_IS["color"]
    assert min(ceilings) == pytest.approx(0.75)
    (circled,) = [line for line in axes.get_lines() if line.get_markersize() > 10]
    assert np.asarray(circled.get_ydata()).tolist() == pytest.approx([0.35])
    words = " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
    assert "(jpeg:quality=5)" in words
    assert "24 images" in words
    controlled = adapted_curves(
        pd.concat([table(), table().assign(task=table()["task"] + "2")]), "scenes", "tuned",
        against="plain", control="plain2", codec="jpeg", specs=[],
    )  # fmt: skip
    first = controlled.axes[0].get_lines()
    assert sum(len(line.get_xdata()) == 3 for line in first) == 3
    none = adapted_curves(
        table(), "scenes", "tuned", against="plain", control=None, codec="avif", specs=[]
    )
    assert "no lossy point" in " ".join(text.get_text() for text in none.texts)
    failed = table()
    failed.loc[failed["task"] == "tuned", ["value", "lo", "hi", "ceiling"]] = np.nan
    none = adapted_curves(failed, "scenes", "tuned", codec="jpeg", specs=[], **OTHER)
    assert "one of the models has no result" in " ".join(text.get_text() for text in none.texts)
    with pytest.raises(MeasurementError, match="no row of task 'other'"):
        adapted_curves(
            table(), "scenes", "tuned", against="other", control=None, codec="jpeg", specs=[]
        )
