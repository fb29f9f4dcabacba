"""Tasks on decoded latents: the latent of a file, head and training, jobs, table, planning."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, make_picture
from PIL import Image as PillowImage
from tiny_model import tiny_models

from icmbench.codecs.base import Latent
from icmbench.codecs.mpd.codec import Mpd
from icmbench.codecs.registry import codec_class
from icmbench.codecs.specs import expand_points
from icmbench.config.plan import Plan
from icmbench.config.run import make_run
from icmbench.config.targets import absent_targets
from icmbench.core.errors import CodecError, ConfigError, DatasetError, TaskError
from icmbench.core.images.image_files import write_png
from icmbench.evaluation import archive
from icmbench.evaluation.shard import DECODED, make_codec_entry, write_rows
from icmbench.evaluation.worker import handle
from icmbench.models.tensors import save_network
from icmbench.reporting.tables.latent_tasks import latent_table
from icmbench.scenes.labels import SEMANTIC_CLASSES
from icmbench.tasks import latent_run, store
from icmbench.tasks.base import SEMANTIC, Labels
from icmbench.tasks.kinds.latent_segmentation import LatentSegmentation
from icmbench.tasks.training.latent_head import Pairs, make_pairs, train_head
from icmbench.training.data import read_training_data
from icmbench.training.loop import Schedule, Session

CLASSES = tuple(SEMANTIC_CLASSES)
LABELS = Labels("scenes", {}, CLASSES)
ENTRY = {"codecs": ["mpd"], "against": "segmentation"}


@pytest.fixture(scope="module")
def codec() -> Mpd:
    return Mpd(models=tiny_models())


# The latent of a file.


@pytest.mark.parametrize("decoder", ["mean", "regression", "diffusion"])
def test_the_image_decoder_makes_the_image_of_the_latent(codec: Mpd, decoder: str) -> None:
    image = make_picture(44, 61, 1)
    for state in (4, 1):
        stream = codec.truncate(codec.encode(image), state=state)
        latent = codec.decode_latent(stream, decoder=decoder)
        assert latent.size == (44, 61)
        assert latent.values.shape == (6, 8, 4)
        shown = codec.model.autoencoder.image(latent.values, latent.size)
        assert np.array_equal(shown, codec.decode(stream, decoder=decoder))


def test_a_latent_needs_no_image_decoder(codec: Mpd, monkeypatch: pytest.MonkeyPatch) -> None:
    image = make_picture(48, 64, 2)
    stream = codec.encode(image)

    def refuse(*arguments: object) -> None:
        raise AssertionError("the image decoder ran")

    monkeypatch.setattr(codec.model.autoencoder.network.decoder, "forward", refuse)
    far, near = (codec.decode_latent(codec.truncate(stream, state=s)).values for s in (5, 0))
    original = codec.image_latent(image).values
    errors = [np.square(values - original).mean() for values in (far, near)]
    assert errors[1] < errors[0]
    with pytest.raises(AssertionError, match="the image decoder ran"):
        codec.decode(stream)


def test_codecs_without_a_latent_say_so() -> None:
    jpeg = codec_class("jpeg")()
    assert not jpeg.has_latent
    with pytest.raises(CodecError, match="jpeg has no decoded latent"):
        jpeg.decode_latent(b"")


# The head.


def scene(seed: int, cells: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """A latent whose channels tell the class of a cell, and the label map of 8 x 8 pixels each."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, (cells // 3, cells // 3)).repeat(3, 0).repeat(3, 1)
    noise = rng.normal(0, 0.2, (cells, cells, 4))
    latent = np.eye(4)[classes] + noise
    return latent.astype(np.float32), classes.repeat(8, 0).repeat(8, 1).astype(np.uint8)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a head that was trained on such scenes."""
    folder = tmp_path_factory.mktemp("head")
    pairs = [scene(seed) for seed in range(12)]
    found = Pairs([latent[None].astype(np.float16) for latent, _ in pairs], [m for _, m in pairs])
    session = Session(folder / "c.pt", folder / "h.csv")
    state, metadata = train_head(found, 8, Schedule(80, 8, 1e-2), session, {})
    save_network(folder / "head.safetensors", state, metadata)
    return folder / "head.safetensors"


def loaded(path: Path) -> LatentSegmentation:
    task = LatentSegmentation("latent", {**ENTRY, "checkpoint": str(path)})
    assert task.files() == [path]
    task.load(LABELS, "cpu")
    return task


def test_a_head_reads_classes_off_the_right_latent(head: Path) -> None:
    """And of a latent of another scene it gives that scene's classes: worse than chance's."""
    task = loaded(head)
    scenes = [scene(seed) for seed in range(50, 55)]
    found = [task.predict_latent(Latent(latent, (96, 96))) for latent, _ in scenes]
    right = np.mean([(f == labels).mean() for f, (_, labels) in zip(found, scenes, strict=True)])
    shifted = [*found[1:], found[0]]
    wrong = np.mean([(f == labels).mean() for f, (_, labels) in zip(shifted, scenes, strict=True)])
    assert right > 0.9
    assert wrong < 0.5
    cropped = task.predict_latent(Latent(scenes[0][0], (90, 89)))
    assert cropped.shape == (90, 89)
    assert (cropped == found[0][:90, :89]).all()


def test_other_latents_are_refused(head: Path) -> None:
    task = loaded(head)
    with pytest.raises(TaskError, match=r"\(12, 12, 4\), expected \(13, 12, 4\)"):
        task.predict_latent(Latent(scene(1)[0], (97, 96)))
    with pytest.raises(TaskError, match="another autoencoder"):
        task.predict_latent(Latent(scene(1)[0][:, :, :3], (96, 96)))
    with pytest.raises(TaskError, match="takes a decoded latent, not an image"):
        task.predict(make_picture(96, 96, 1), [])
    with pytest.raises(TaskError, match=r"knows .* classes"):
        task.load(Labels("d", {}, ("unheard-of",)), "cpu")


def test_training_is_reproducible(head: Path, tmp_path: Path) -> None:
    latent, labels = scene(3)
    pairs = Pairs([latent[None].astype(np.float16)], [labels])
    states = []
    for number in range(2):
        session = Session(tmp_path / f"{number}.pt", tmp_path / f"{number}.csv")
        states.append(train_head(pairs, 8, Schedule(3, 2, 1e-2), session, {})[0])
    assert all((states[0][key] == states[1][key]).all() for key in states[0])


def scene_files(folder: Path, count: int) -> list[Path]:
    for number in range(count):
        write_png(folder / f"train-{number}.png", make_picture(40 + number, 64, number))
        labels = np.full((40 + number, 64), number, np.uint8)
        PillowImage.fromarray(labels).save(folder / f"train-{number}.semantic.png")
    return sorted(folder.glob("train-?.png"))


def test_pairs_are_the_latents_of_every_point_and_the_original(codec: Mpd, tmp_path: Path) -> None:
    data = read_training_data([("scenes", scene_files(tmp_path, 3))], smallest=8)
    points = expand_points("mpd", [{"state": [4, 1]}])
    pairs = make_pairs(codec, points, data, 2)
    assert len(pairs.latents) == 2
    for number, latents in enumerate(pairs.latents):
        labels = pairs.labels[number]
        image = data.images[number]
        stream = codec.truncate(codec.encode(image), state=4)
        expected = [codec.decode_latent(stream).values, codec.image_latent(image).values]
        assert np.array_equal(latents[[0, 2]], np.stack(expected).astype(np.float16))
        assert labels.shape == (8 * latents.shape[1], 8 * latents.shape[2])
        assert (labels[: 40 + number] == number).all()
        assert (labels[40 + number :] == 255).all()
    rng = np.random.default_rng(1)
    latents, labels = pairs.draw(rng, 3, 4)
    assert latents.shape == (3, 4, 4, 4)
    assert labels.shape == (3, 16, 16)
    (tmp_path / "train-0.semantic.png").unlink()
    with pytest.raises(DatasetError, match="no semantic map"):
        make_pairs(codec, points, data, 2)


# The jobs.


class Pixels(LatentSegmentation):
    """A task on reconstructions, for its seconds."""

    def predict(self, image: Any, given: Any) -> Any:
        assert image.shape == (48, 64, 3)
        assert list(given) == []
        return np.zeros(image.shape[:2], np.uint8)


def run_shard(
    codec: Mpd, head: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, images: int = 3
) -> tuple[list[dict[str, Any]], Path]:
    """Predictions of a shard by the job's function; the codec process is in this one."""
    settings = {"device": "cpu", "threads": 1, "models": None, "limits": {"seconds_per_image": 9}}
    entry = make_codec_entry("mpd", {**settings, "entry": {"points": [{"state": [5, 2]}]}})
    rows = []
    with archive.create(folder / "streams.zip") as out:
        for number in range(images):
            out.add(f"mpd/i{number}.icb", codec.encode(make_picture(48, 64, number)))
            for point in entry.points:
                row = {"codec": point.spec, "encoding": "mpd", "image": f"i{number}", "bytes": "9"}
                rows.append({**row, "status": "ok", "detail": "", "digest": "", "device": "cpu"})
    rows[-1]["status"] = "decode-failed"
    write_rows(folder / "decoded.csv", DECODED, rows)
    asked: list[dict[str, Any]] = []

    @contextlib.contextmanager
    def asking() -> Iterator[Any]:
        def ask(entry: Any, streams: Path, point: Any, image: str, do: str) -> dict[str, Any]:
            with archive.reader(streams) as source:
                stream = archive.read_member(source, f"mpd/{image}.icb")
            file = folder / "stream"
            file.write_bytes(codec.truncate(stream, **dict(point.cut)))
            request = {"do": do, "keys": dict(point.decode), "path": str(file)}
            asked.append({"spec": point.spec, "image": image, "do": do})
            return handle(codec, request)

        yield ask

    monkeypatch.setattr(latent_run, "asking", asking)
    task, streams = loaded(head), folder / "streams.zip"
    latent_run.predict_streams(
        (task, None), Pixels("p", ENTRY), entry, streams, folder / "decoded.csv", folder
    )
    return asked, folder / "latent.zip"


def test_predictions_are_of_the_files_alone(
    codec: Mpd, head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request but for the latent precedes a prediction; no label map is there at all."""
    asked, path = run_shard(codec, head, tmp_path, monkeypatch)
    task = loaded(head)
    for state, images in ((5, 3), (2, 2)):
        names = [f"i{number}" for number in range(images)]
        found = store.read([path], f"mpd:state={state}", names, SEMANTIC)
        for number, name in enumerate(names):
            stream = codec.encode(make_picture(48, 64, number))
            latent = codec.decode_latent(codec.truncate(stream, state=state))
            assert np.array_equal(found[name], task.predict_latent(latent))
    outcome = store.outcome([path], SEMANTIC)
    assert (outcome.devices, outcome.failed) == (("cpu",), "")
    assert len(outcome.answered) == 5
    order = [one["do"] for one in asked]
    assert order == ["decode-latent", "decode"] * 5  # the decoder is run for its seconds, after it
    seconds = pd.read_csv(tmp_path / "seconds.csv")
    assert tuple(seconds.columns) == latent_run.SECONDS
    # The first image of a point warms up.
    assert list(zip(seconds["codec"], seconds["image"], strict=True)) == [
        ("mpd:state=5", "i1"), ("mpd:state=2", "i1"), ("mpd:state=5", "i2"),
    ]  # fmt: skip
    assert (seconds[["latent_s", "head_s", "decode_s", "network_s"]] >= 0).all(axis=None)


def test_few_images_are_timed(
    codec: Mpd, head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latent_run, "TIMED", 1)
    asked, _ = run_shard(codec, head, tmp_path, monkeypatch, images=4)
    assert [one["do"] for one in asked].count("decode") == 4
    assert len(pd.read_csv(tmp_path / "seconds.csv")) == 2


def test_a_failing_image_is_a_row(
    codec: Mpd, head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object, latent: Latent) -> None:
        raise ValueError("planted")

    monkeypatch.setattr(LatentSegmentation, "predict_latent", fail)
    _, path = run_shard(codec, head, tmp_path, monkeypatch)
    outcome = store.outcome([path], SEMANTIC)
    assert outcome.reason("mpd:state=5", "i0") == "ValueError: planted"
    assert not outcome.answered


# The table.


def scores(task: str, value: float) -> pd.DataFrame:
    rows = [
        {"dataset": "d", "family": "mpd", "codec": codec, "metric": metric, "bpp": 0.1,
         "task": task, "value": value + n, "ceiling": 9.0, "images": 4}
        for metric in ("miou", "aacc")
        for n, codec in enumerate(("mpd:state=3", "mpd"))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_table_by_hand() -> None:
    columns = ["dataset", "family", "codec", "latent_s", "head_s", "decode_s", "network_s"]
    rows = [("d", "mpd", "mpd", 1, 1, 6, 2), ("d", "mpd", "mpd", 3, 1, 6, 2),
            ("d", "mpd", "mpd", 2, 1, 6, 2)]  # fmt: skip
    table = latent_table(scores("a", 0.5), scores("b", 0.7), pd.DataFrame(rows, columns=columns))
    assert list(table["codec"]) == ["mpd:state=3", "mpd"] * 2
    row = table.iloc[1]
    assert (row["value"], row["value_against"], row["against"]) == (1.5, 1.7, "b")
    assert (row["latent_s"], row["timed"], row["saved"]) == (2, 3, 1 - 3 / 8)
    assert table["timed"][0] == 0
    assert np.isnan(table["saved"][0])


# Planning.


def config(**task: Any) -> dict[str, Any]:
    shipped = (ROOT / "configs" / "latent-task.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(shipped)
    found["codecs"]["jpeg"] = {"points": [{"quality": 10}]}
    found["tasks"]["latent"].update(task)
    return found


def test_the_task_joins_a_run() -> None:
    plan = Plan(make_run(config()))
    made = {one.path for one in plan.made()}
    assert made >= {
        "tables/latent_tasks.csv", "latent_predictions/scenes/mpd/0",
        "latent_predictions/scenes/originals/0", "models/tasks/latent_head.safetensors",
    }  # fmt: skip
    assert "latent_predictions/scenes/jpeg/0" not in made
    assert plan.tasks_of("scenes") == ["segmentation"]
    assert plan.predicted_codecs("latent", "scenes") == ["mpd"]
    assert plan.predicted_codecs("segmentation", "scenes") == ["mpd", "jpeg"]
    assert "latent_tasks" not in absent_targets(plan.run)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"codecs": ["mpd", "jpeg"]}, "jpeg has no decoded latent: name codec entries of mpd"),
        ({"codecs": ["mpt"]}, "did you mean 'mpd'"),
        ({"codecs": []}, "is no list of codec entries"),
        ({"against": "latent"}, "'latent' is no task on reconstructions that gives semantic"),
        ({"checkpoint": "missing.safetensors"}, "missing.safetensors"),
    ],
)
def test_wrong_entries_end_the_planning(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        make_run(config(**change))


def test_a_head_is_trained_or_given(head: Path) -> None:
    untrained = config()
    untrained["training"]["tasks"]["latent_head"]["steps"] = 0
    with pytest.raises(ConfigError, match=r"training\.tasks\.latent_head\.steps is 0"):
        make_run(untrained)
    untrained["tasks"]["latent"]["checkpoint"] = str(head)
    run = make_run(untrained)
    assert run.training.trained["tasks"] == ()
    assert run.tasks["latent"].files() == [head]


def test_one_head_a_run_and_no_pictures() -> None:
    two = config()
    two["tasks"]["other"] = dict(two["tasks"]["latent"])
    with pytest.raises(ConfigError, match="a run has one task on decoded latents"):
        make_run(two)
    shown = {**config(), "task_pictures": [
        {"dataset": "scenes", "image": "test-00000", "bpp": 0.1, "task": "latent"}
    ]}  # fmt: skip
    with pytest.raises(ConfigError, match="latent takes no reconstruction"):
        make_run(shown)
