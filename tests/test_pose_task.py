"""Keypoints of persons: COCO's files, OKS against pycocotools, a SimCC network made here."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_picture
from file_server import serve
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from task_checks import evaluate
from test_onnx_tasks import node, write_onnx

from icmbench.config.fetching import wanted_sources
from icmbench.config.load import complete
from icmbench.config.tasks import task_entry
from icmbench.core.errors import ConfigError, DatasetError, MeasurementError, TaskError
from icmbench.core.fetch_command import FETCHED
from icmbench.core.images.image_files import write_png
from icmbench.datasets.base import Annotations
from icmbench.datasets.registry import make_dataset
from icmbench.sources.catalogue import shipped_sources
from icmbench.sources.fetch import fetch_source
from icmbench.tasks import store
from icmbench.tasks.answers.keypoints import ANSWER, KEYPOINTS, Keypoints
from icmbench.tasks.base import Labels
from icmbench.tasks.evaluate import Truth
from icmbench.tasks.kinds.onnx_pose import OnnxPose, decode_simcc
from icmbench.tasks.metrics.keypoint_metrics import KeypointEvaluator
from icmbench.tasks.registry import make_task

NAMES = [f"point {n}" for n in range(17)]
Persons = dict[str, list[dict[str, Any]]]


def random_set(seed: int, images: int) -> tuple[Persons, dict[str, Keypoints]]:
    """Persons, crowds and persons without points; some are found well, some badly or twice."""
    rng = np.random.default_rng(seed)
    persons: Persons = {}
    found: dict[str, Keypoints] = {}
    for number in range(images):
        listed, points, scores = [], [], []
        for _ in range(int(rng.integers(0, 5)) if number else 24):  # more than 20 in the first
            x, y, w, h = rng.uniform([0, 0, 20, 30], [300, 200, 120, 160])
            places = rng.uniform([x, y], [x + w, y + h], (17, 2))
            seen = rng.integers(0, 3, 17) * (rng.random() < 0.8)
            keypoints = np.concatenate([np.round(places) * (seen > 0)[:, None], seen[:, None]], 1)
            listed.append({"bbox": [x, y, w, h], "area": w * h * 0.5,
                           "iscrowd": int(rng.random() < 0.15),
                           "keypoints": keypoints.ravel().tolist()})  # fmt: skip
            for _ in range(int(rng.choice([0, 1, 1, 1, 2]))):
                points.append(places + rng.normal(0, rng.choice([1, 4, 15, 60]), (17, 2)))
                scores.append(rng.choice([0.25, 0.5, rng.random()]))
        name = f"i{number:02d}"
        persons[name] = listed
        found[name] = Keypoints(np.reshape(points, (len(points), 17, 2)), np.array(scores))
    return persons, found


def judged(
    persons: Persons, found: Mapping[str, Keypoints], times: Sequence[int] = ()
) -> dict[str, float]:
    judge = KeypointEvaluator([*found], {"keypoints": NAMES, "persons": persons})
    weights = np.array([times or [1] * len(found)], np.int64)
    return {k: float(v[0]) for k, v in judge.values(judge.count(found), weights).items()}


def official(persons: Persons, found: Mapping[str, Keypoints]) -> list[float]:
    """The first three numbers of pycocotools' keypoint evaluation."""
    truth: dict[str, Any] = {"images": [], "annotations": [], "info": {}}
    truth["categories"] = [{"id": 1, "name": "person", "keypoints": NAMES}]
    results = []
    for number, name in enumerate(found, 1):
        truth["images"].append({"id": number, "width": 640, "height": 480})
        for each in persons[name]:
            shown = sum(v > 0 for v in each["keypoints"][2::3])
            known = {"id": len(truth["annotations"]) + 1, "image_id": number, "category_id": 1}
            truth["annotations"].append({**each, **known, "num_keypoints": shown})
        for points, score in zip(found[name].points, found[name].scores, strict=True):
            keypoints = np.concatenate([points, np.ones((17, 1))], 1).ravel().tolist()
            results.append({"image_id": number, "category_id": 1, "keypoints": keypoints,
                            "score": float(score)})  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        run = COCOeval(coco, coco.loadRes(results), "keypoints")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return [float(value) for value in run.stats[:3]]


@pytest.mark.parametrize("seed", range(6))
def test_precision_is_that_of_pycocotools(seed: int) -> None:
    persons, found = random_set(seed, 12)
    values = judged(persons, found)
    assert [*values.values()] == pytest.approx(official(persons, found), abs=1e-12)
    assert 0.05 < values["oks_map"] < 0.95
    times = np.random.default_rng(seed).integers(0, 4, 12).tolist()
    copies = [(f"{n}.{c}", n) for n, k in zip(found, times, strict=True) for c in range(k)]
    drawn = {name: found[image] for name, image in copies}
    expected = official({name: persons[image] for name, image in copies}, drawn)
    assert [*judged(persons, found, times).values()] == pytest.approx(expected, abs=1e-12)


def test_planted_keypoints() -> None:
    """The annotation itself is perfect; what lies far away finds nothing."""
    persons = {name: each for name, each in random_set(1, 8)[0].items() if len(each) <= 20}
    right, far = {}, {}
    for name, listed in persons.items():
        kept = [each for each in listed if not each["iscrowd"] and any(each["keypoints"][2::3])]
        points = np.array([each["keypoints"] for each in kept]).reshape(-1, 17, 3)[:, :, :2]
        right[name] = Keypoints(points, np.ones(len(points)))
        far[name] = Keypoints(points + 10_000, np.ones(len(points)))
    assert judged(persons, right)["oks_map"] == pytest.approx(1)
    assert set(judged(persons, far).values()) == {0.0}


def test_malformed_keypoints() -> None:
    data = store.encode(Keypoints(np.full((2, 17, 2), 1.23456), np.array([0.1234567, 1])))[1]
    back = store.decode(data, KEYPOINTS)
    assert isinstance(back, Keypoints)
    assert (back.points == 1.235).all()
    assert back.scores.tolist() == [0.123457, 1]
    nobody = store.decode(store.encode(Keypoints(np.zeros((0, 0, 2)), np.zeros(0)))[1], KEYPOINTS)
    assert np.isnan(judged({"a": []}, {"a": nobody})["oks_map"])
    for points, scores, message in (
        (np.zeros((2, 17, 3)), np.ones(2), "shapes"),
        (np.zeros((2, 17, 2)), np.ones(3), "shapes"),
        (np.full((1, 17, 2), np.inf), np.ones(1), "not finite"),
    ):
        with pytest.raises(TaskError, match=message):
            store.encode(Keypoints(points, scores))
    with pytest.raises(TaskError, match="3 keypoints a person: OKS is defined for COCO's 17"):
        KeypointEvaluator(["a"], {"keypoints": NAMES[:3], "persons": {"a": []}})
    with pytest.raises(TaskError, match="image 'b' has no keypoints"):
        KeypointEvaluator(["b"], {"keypoints": NAMES, "persons": {"a": []}})
    judge = KeypointEvaluator(["a"], {"keypoints": NAMES, "persons": {"a": []}})
    with pytest.raises(TaskError, match="image 'a': 3 points, not 17"):
        judge.count({"a": Keypoints(np.zeros((1, 3, 2)), np.ones(1))})
    with pytest.raises(MeasurementError, match="image 'a' has no prediction"):
        judge.count({})


# The network.


def pose(path: Path, **entry: Any) -> OnnxPose:
    task = make_task("pose", {"type": "onnx-pose", "model": str(path), **entry})
    task.load(Labels("coco", {}, ()), "cpu")
    assert isinstance(task, OnnxPose)
    return task


def constant(path: Path, outputs: Sequence[np.ndarray], side: tuple[int, int] = (64, 48)) -> Path:
    """A network of an input of `side` pixels that says the same of every picture."""
    names = ("simcc_x", "simcc_y")[: len(outputs)]
    nodes = [node("Identity", [f"c{name}"], name) for name in names]
    constants = {f"c{name}": each for name, each in zip(names, outputs, strict=True)}
    shapes = {name: each.shape for name, each in zip(names, outputs, strict=True)}
    return write_onnx(path, nodes, constants, side, shapes)


def dots(path: Path, height: int, width: int) -> Path:
    """A network whose three points are the brightest pixels of red, green and blue."""
    nodes = []
    for name, axis in (("x", 2), ("y", 3)):
        nodes.append(node("ReduceMax", ["x"], f"{name}m", axes=[axis]))
        nodes.append(node("Squeeze", [f"{name}m", f"{name}a"], f"simcc_{name}"))
    axes = {"xa": np.array([2]), "ya": np.array([3])}
    shapes = {"simcc_x": (1, 3, width), "simcc_y": (1, 3, height)}
    return write_onnx(path, nodes, axes, (height, width), shapes)


@pytest.mark.parametrize("box", [[8, 20, 30, 40], [0, 0, 64, 90], [50, 60, 30, 60], [4, 4, 60, 9]])
def test_dots_are_found_where_they_are(tmp_path: Path, box: list[float]) -> None:
    """In boxes of any shape, also such that end outside of the image; in any crop's scale."""
    image = np.zeros((90, 64, 3), np.uint8)
    x, y, w, h = box
    shares = np.array([[0.2, 0.3], [0.5, 0.5], [0.8, 0.6]])
    truth = np.round(np.clip([x, y] + shares * [w, h], 1, [62, 88]))
    for channel, (column, row) in enumerate(truth.astype(int)):
        image[row - 1 : row + 2, column - 1 : column + 2, channel] = 100
        image[row, column, channel] = 255
    task = pose(dots(tmp_path / "dots.onnx", 256, 192))
    found = task.predict(image, [box])
    assert np.abs(found.points[0] - truth).max() < 0.5
    with pytest.raises(TaskError, match="of a person has no pixel inside of the image"):
        task.predict(image, [[70, 3, 10, 10]])
    assert task.predict(image, []).points.shape == (0, 0, 2)


@pytest.mark.parametrize("box", [[10.0, 20.0, 48.0, 64.0], [30.5, 8.25, 10.0, 50.0]])
def test_the_crop_is_the_box_enlarged_to_the_ratio_of_the_input(
    tmp_path: Path, box: list[float]
) -> None:
    """On a picture whose values are the places of its pixels."""
    task = pose(dots(tmp_path / "dots.onnx", 64, 48), width=48, height=64)
    image = np.zeros((120, 100, 3), np.uint8)
    image[:, :, 0], image[:, :, 1] = np.arange(100)[None], np.arange(120)[:, None]
    corner, step = task._frame(box, image)
    width, height = 48 * step, 64 * step
    assert corner[0] + width / 2 == pytest.approx(box[0] + box[2] / 2)
    assert corner[1] + height / 2 == pytest.approx(box[1] + box[3] / 2)
    assert max(box[2] / width, box[3] / height) == pytest.approx(1 / 1.25)
    crop = task._crop(image, corner, step).astype(float)
    for axis, side in ((0, 48), (1, 64)):
        places = corner[axis] + step * np.arange(side)
        values = crop[32, :, 0] if axis == 0 else crop[:, 24, 1]
        inside = (places > 0) & (places < (99, 119)[axis])
        assert inside.sum() > side / 2
        assert np.abs(values - places)[inside].max() <= 1


def test_simcc_is_decoded_as_by_mmpose(tmp_path: Path) -> None:
    """Halves of a pixel; the lower of two maxima is the score; no value above 0 is no point."""
    x, y = np.full((17, 96), -1, np.float32), np.full((17, 128), -1, np.float32)
    x[0, 31], y[0, 100] = 0.9, 0.4
    x[1, 5], y[1, 6] = 0.1, 0.3
    x[2, 9] = 0.8
    points, scores = decode_simcc(x, y, 2.0)
    assert points[:3].tolist() == [[15.5, 50], [2.5, 3], [-0.5, -0.5]]
    assert scores[:3] == pytest.approx([0.4, 0.1, -1])
    path = constant(tmp_path / "constant.onnx", [x[None], y[None]])
    task = pose(path, width=48, height=64)
    assert task.model == "constant, in annotated boxes"
    found = task.predict(make_picture(64, 48, 1), [[4.8, 6.4, 38.4, 51.2]])  # the crop: the image
    assert found.scores == pytest.approx([0.4])  # 0.1 is not above 0.2
    assert np.allclose(found.points[0, :2], [[15.5, 50], [2.5, 3]])
    for outputs, message in (
        ([x[None]], "expected two of SimCC"),
        ([x[None], y[None, :5]], "are not of an input of 48x64 pixels"),
        ([y[None], x[None]], "are not of an input of 48x64 pixels"),
        ([x, y], "expected two of SimCC"),
    ):
        path = constant(tmp_path / "wrong.onnx", outputs)
        with pytest.raises(TaskError, match=rf"wrong\.onnx: outputs .* {message}"):
            pose(path, width=48, height=64)


SOURCE = shipped_sources()["rtmpose-m"]
ARCHIVE = SOURCE.files[0].name


def test_the_source_is_a_model_by_name(tmp_path: Path) -> None:
    """The published archive of MMDeploy: fetched, unpacked, and the one network in it is found."""
    stem = Path(ARCHIVE).stem
    inner = f"20230831/rtmpose_onnx/{stem}"
    outputs = [np.ones((1, 17, 2 * side), np.float32) for side in (192, 256)]
    network = constant(tmp_path / "n.onnx", outputs, (256, 192))
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as opened:
        opened.writestr(f"{inner}/end2end.onnx", network.read_bytes())
        for name in ("deploy", "detail", "pipeline"):
            opened.writestr(f"{inner}/{name}.json", "{}")
    task = {"type": "onnx-pose", "datasets": ["scenes"], "model": "rtmpose-m"}
    config = complete({
        "datasets": {"scenes": {}}, "codecs": {"identity": {"points": [{}]}},
        "tasks": {"pose": task}, "downloads": str(tmp_path / "dl"),
    })  # fmt: skip
    with pytest.raises(ConfigError, match=r"run `icmbench fetch .* rtmpose-m` \(.*_20230504\.zip"):
        task_entry(config, "pose")
    assert [source.name for source, _ in wanted_sources(config)] == ["rtmpose-m"]
    with serve() as site:
        site.files[f"/{ARCHIVE}"] = written.getvalue()
        file = dataclasses.replace(SOURCE.files[0], urls=(f"{site.address}/{ARCHIVE}",))
        fetch_source(dataclasses.replace(SOURCE, files=(file,)), tmp_path / "dl")
    found = make_task("pose", task_entry(config, "pose"))
    assert found.files() == [tmp_path / "dl" / "rtmpose-m" / inner / "end2end.onnx"]
    assert found.model == f"{stem}, in annotated boxes"
    found.load(Labels("scenes", {}, ()), "cpu")
    found.files()[0].with_name("other.onnx").touch()
    assert make_task("pose", task_entry(config, "pose")).files() == [tmp_path / "dl" / "rtmpose-m"]


# The data set.


def coco_keypoints(folder: Path, **changed: Any) -> Annotations:
    """COCO's val with keypoints of the first of two images; a change plants a fault."""
    images = [{"id": n, "file_name": f"{n}.png", "width": 48, "height": 64} for n in (5, 6)]
    x = {"image_id": 5, "category_id": 1, "bbox": [4.8, 6.4, 38.4, 51.2], "area": 900.0}
    keypoints = [15.5, 50, 2] + [2.5, 3, 1] + [0, 0, 0] * 15
    annotations = [
        {**x, "id": 1, "iscrowd": 0, "keypoints": keypoints, "num_keypoints": 2},
        {**x, "id": 2, "iscrowd": 1, "keypoints": keypoints},
        {**x, "id": 3, "iscrowd": 0, "keypoints": [0] * 51},
    ]
    categories = [{"id": 1, "name": "person", "keypoints": NAMES, "skeleton": []}]
    content = {"images": images, "annotations": annotations, "categories": categories, **changed}
    root = folder / "coco2017-annotations" / "annotations"
    root.mkdir(parents=True, exist_ok=True)
    whole = {"images": images, "annotations": [], "categories": [], "licenses": []}
    for kind in ("instances", "captions"):
        (root / f"{kind}_val2017.json").write_text(json.dumps(whole))
    (root / "person_keypoints_val2017.json").write_text(json.dumps(content))
    for image in images:
        path = folder / "coco2017-val" / "val2017" / str(image["file_name"])
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, make_picture(64, 48, 1))
    for source in ("annotations", "val"):
        (folder / f"coco2017-{source}" / FETCHED).write_text("{}")
    dataset = make_dataset("coco2017", {"more": ["keypoints"]}, folder)
    (folder / "out").mkdir(exist_ok=True)
    dataset.provide(dataset.image_ids(), folder / "out")
    return dataset.merge_annotations(dict.fromkeys(dataset.image_ids(), folder / "out"))


def test_keypoint_files_of_coco(tmp_path: Path) -> None:
    """From the file to the number: a network that says what is annotated is perfect."""
    found = json.loads(json.dumps(coco_keypoints(tmp_path).more))
    truth = Truth(more=found)
    assert ANSWER.given(truth, "5.png") == [[4.8, 6.4, 38.4, 51.2]]
    assert ANSWER.given(truth, "6.png") == []
    x, y = np.full((17, 96), -1, np.float32), np.full((17, 128), -1, np.float32)
    x[0, 31] = y[0, 100] = x[1, 5] = y[1, 6] = 0.9
    task = pose(constant(tmp_path / "n.onnx", [x[None], y[None]]), width=48, height=64)
    pictures = {name: make_picture(64, 48, 1) for name in ("5.png", "6.png")}
    assert dict(evaluate(pictures, task, truth)) == pytest.approx(
        {"oks_map": 1, "oks_map50": 1, "oks_map75": 1}
    )
    with pytest.raises(TaskError, match="no annotations of the kind keypoints"):
        evaluate(pictures, task, Truth())
    person = {"image_id": 5, "bbox": [0, 0, 9, 9], "area": 9, "iscrowd": 0, "keypoints": [0] * 51}
    for change, message in (
        ({"categories": []}, "not keypoints: expected one category"),
        ({"annotations": [{**person, "keypoints": [0] * 50}]}, "are not 17 times x, y, v"),
        ({"annotations": [{**person, "keypoints": [3] * 51}]}, "a v is none of 0, 1, 2"),
        ({"annotations": [{**person, "bbox": None}]}, "bbox=None is not four"),
        ({"annotations": [{**person, "area": "9"}]}, "iscrowd or area is missing"),
    ):
        with pytest.raises(DatasetError, match=rf"person_keypoints_val2017\.json: .*{message}"):
            coco_keypoints(tmp_path, **change)
