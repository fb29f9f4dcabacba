"""Panoptic segmentation: COCO's files, the stored format, PQ, a small Mask2Former."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_picture
from PIL import Image as PillowImage
from task_checks import evaluate

from icmbench.core.errors import DatasetError, MeasurementError, TaskError
from icmbench.core.fetch_command import FETCHED
from icmbench.core.images.image_files import write_png
from icmbench.datasets.base import Annotations
from icmbench.datasets.registry import make_dataset
from icmbench.tasks import store
from icmbench.tasks.answers.panoptic import PANOPTIC, Segments
from icmbench.tasks.base import Labels
from icmbench.tasks.evaluate import Truth
from icmbench.tasks.kinds.mm_panoptic import MmPanoptic, to_segments
from icmbench.tasks.metrics.panoptic_metrics import PanopticEvaluator

CATEGORIES = [
    {"id": 1, "name": "cat", "isthing": 1},
    {"id": 4, "name": "dog", "isthing": 1},
    {"id": 90, "name": "grass", "isthing": 0},
]
Crowded = Mapping[int, tuple[int, int]]  # number of a segment -> category, crowd or not


def write_map(path: Path, values: np.ndarray) -> None:
    planes = np.stack([values & 255, values >> 8 & 255, values >> 16], axis=2).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(planes).save(path)


def truth_of(folder: Path, maps: Mapping[str, tuple[np.ndarray, Crowded]]) -> dict[str, Any]:
    images = {}
    for name, (values, segments) in maps.items():
        write_map(folder / f"{name}.png", values)
        listed = [
            {"id": number, "category_id": category, "iscrowd": crowd}
            for number, (category, crowd) in segments.items()
        ]
        images[name] = {"file": str(folder / f"{name}.png"), "segments": listed}
    return {"categories": CATEGORIES, "images": images}


def judged(
    truth: Mapping[str, Any], found: Mapping[str, np.ndarray], weights: Sequence[int] = ()
) -> dict[str, float]:
    judge = PanopticEvaluator([*found], truth)
    counts = judge.count({n: Segments(each.astype(np.int32)) for n, each in found.items()})
    times = np.array([weights or [1] * len(found)], np.int64)
    return {key: float(value[0]) for key, value in judge.values(counts, times).items()}


def quality(
    maps: Mapping[str, tuple[np.ndarray, Crowded]], found: Mapping[str, np.ndarray]
) -> dict[int, float]:
    """PQ of every category by its definition: sets of pixels, a pair of segments at a time."""
    score: dict[int, list[float]] = {}
    for name, (true, segments) in maps.items():
        void = {*np.flatnonzero(true == 0).tolist()}
        seen = found[name]
        pixels = {n: {*np.flatnonzero(true == n).tolist()} for n in segments}
        mine = {p: {*np.flatnonzero(seen == p).tolist()} for p in np.unique(seen).tolist() if p}
        hit: set[tuple[str, int]] = set()
        for n, (category, crowd) in segments.items():
            tally = score.setdefault(category, [0, 0, 0])
            for p, area in mine.items():
                shared = len(pixels[n] & area)
                union = len(pixels[n] | (area - void))
                if not crowd and p // 1000 == category and shared > union / 2:
                    tally[0] += shared / union
                    tally[1] += 1
                    hit |= {("true", n), ("mine", p)}
            tally[2] += bool(pixels[n]) and not crowd and ("true", n) not in hit
        for p, area in mine.items():
            category = p // 1000
            crowds = [pixels[n] for n, (c, crowd) in segments.items() if crowd and c == category]
            beside = len(area & void) + sum(len(area & crowd) for crowd in crowds)
            if ("mine", p) not in hit and beside <= len(area) / 2:
                score.setdefault(category, [0, 0, 0])[2] += 1
    return {c: t[0] / (t[1] + t[2] / 2) for c, t in score.items() if t[1] + t[2]}


def test_planted_segments_have_planted_pq(tmp_path: Path) -> None:
    """One match of IoU 0.75, one of 1, a wrong category, nothing of void and crowds."""
    true = np.zeros((4, 20), np.int64)
    true[:, :4], true[:, 4:8], true[:, 8:12], true[:, 12:16] = 7, 300, 70_000, 9
    segments = {7: (1, 0), 300: (90, 0), 70_000: (4, 0), 9: (4, 1)}  # 9: a crowd of dogs
    found = np.zeros((4, 20), np.int64)
    found[:3, :4] = 1001  # cat: 12 of 16 pixels
    found[:, 4:8] = 90_001  # grass: all
    found[:, 8:12] = 1002  # a dog taken for a cat
    found[:, 12:16] = 4003  # dogs in the crowd
    found[:, 16:20] = 4004  # outside of what is annotated
    truth = truth_of(tmp_path, {"a": (true, segments)})
    values = judged(truth, {"a": found})
    cat, dog, grass = 0.75 / 1.5, 0.0, 1.0
    assert values == pytest.approx(
        {"pq": (cat + dog + grass) / 3, "sq": (0.75 + 0 + 1) / 3, "rq": (1 / 1.5 + 0 + 1) / 3,
         "pq_things": (cat + dog) / 2, "pq_stuff": grass}
    )  # fmt: skip
    right = np.select([true == 7, true == 300, true == 70_000], [1001, 90_001, 4001])
    assert set(judged(truth, {"a": right}).values()) == {1.0}
    assert set(judged(truth, {"a": np.zeros((4, 20), int)}).values()) == {0.0}
    half = np.where(true == 7, np.arange(20) < 2, 0) * 1001  # an IoU of exactly a half is no match
    assert judged(truth, {"a": half})["sq"] == 0


def random_maps(seed: int) -> tuple[tuple[np.ndarray, Crowded], np.ndarray]:
    """Rectangles of a scene, and the same moved a little with some categories changed."""
    rng = np.random.default_rng(seed)
    true, found = np.zeros((30, 40), np.int64), np.zeros((30, 40), np.int64)
    segments: dict[int, tuple[int, int]] = {}
    for number in range(1, 9):
        y, x, h, w = rng.integers([0, 0, 5, 5], [22, 30, 16, 20])
        category = int(rng.choice([1, 4, 90]))
        true[y : y + h, x : x + w] = number
        segments[number] = (category, int(rng.random() < 0.2))
        dy, dx = rng.integers(0, 3, 2)
        guess = category if rng.random() < 0.8 else int(rng.choice([1, 4, 90]))
        if rng.random() < 0.9:
            found[y + dy : y + h, x : x + w + dx] = guess * 1000 + number
    return (true, {n: s for n, s in segments.items() if (true == n).any()}), found


def test_pq_is_that_of_the_definition(tmp_path: Path) -> None:
    """Also where images count several times, or not at all."""
    pairs = {f"i{n}": random_maps(n) for n in range(12)}
    truth = truth_of(tmp_path, {name: pair[0] for name, pair in pairs.items()})
    weights = [1, 0, 2, 1, 3, 0, 1, 1, 1, 0, 2, 1]
    for times in ([1] * 12, weights):
        drawn = {
            f"{name}.{copy}": pair
            for (name, pair), count in zip(pairs.items(), times, strict=True)
            for copy in range(count)
        }
        expected = quality({n: p[0] for n, p in drawn.items()}, {n: p[1] for n, p in drawn.items()})
        values = judged(truth, {name: pair[1] for name, pair in pairs.items()}, times)
        assert values["pq"] == pytest.approx(np.mean([*expected.values()]))
        assert values["pq_stuff"] == pytest.approx(expected[90])
        assert values["pq_things"] == pytest.approx(np.mean([expected[1], expected[4]]))
        assert 0.1 < values["pq"] < 0.9


def test_malformed_maps(tmp_path: Path) -> None:
    values = np.full((4, 5), 4001, np.int32)
    data = store.encode(Segments(values))[1]
    back = store.decode(data, PANOPTIC)
    assert isinstance(back, Segments)
    assert np.array_equal(back.map, values)
    for wrong, message in (
        (values.astype(np.int64), "int64 .* is no map of segments"),
        (np.full((2, 2), 1 << 24, np.int32), "not within 0 to"),
        (np.full((2, 2), -1, np.int32), "not within 0 to"),
    ):
        with pytest.raises(TaskError, match=message):
            store.encode(Segments(wrong))
    truth = truth_of(tmp_path, {"a": (np.full((4, 5), 3), {3: (4, 0)})})
    for found, message in (
        (np.full((4, 5), 2001), "image 'a': the prediction holds the unknown category 2"),
        (np.full((4, 6), 4001), r"a\.png: the map has 5x4 pixels, the prediction 6x4"),
    ):
        with pytest.raises(TaskError, match=message):
            judged(truth, {"a": found})
    with pytest.raises(MeasurementError, match="image 'a' has no prediction"):
        PanopticEvaluator(["a"], truth).count({})
    with pytest.raises(TaskError, match="image 'b' has no panoptic map"):
        PanopticEvaluator(["b"], truth)
    write_map(tmp_path / "a.png", np.full((4, 5), 8))
    with pytest.raises(TaskError, match=r"a\.png: holds the segment 8, which is not listed"):
        judged(truth, {"a": values})
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(TaskError, match=r"a\.png: not a readable map"):
        judged(truth, {"a": values})


def coco_panoptic(folder: Path, **changed: Any) -> Annotations:
    """COCO's val with panoptic annotations of two images, as published; a change plants a fault."""
    names = [f"{n:012d}" for n in (9, 25)]
    images = [{"id": int(n), "file_name": f"{n}.png", "width": 20, "height": 16} for n in names]
    root = folder / "coco2017-annotations"
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    whole = {"images": images, "annotations": [], "categories": [], "licenses": []}
    for kind in ("instances", "captions"):
        (root / "annotations" / f"{kind}_val2017.json").write_text(json.dumps(whole))
    maps = folder / "coco2017-panoptic" / "annotations"
    segments = [{"id": 70_000, "category_id": 4, "iscrowd": 0, "area": 320, "bbox": [0, 0, 1, 1]}]
    annotations = [
        {"image_id": int(n), "file_name": f"{n}.png", "segments_info": segments} for n in names
    ]
    for name in names:
        write_map(maps / "panoptic_val2017" / f"{name}.png", np.full((16, 20), 70_000))
        path = folder / "coco2017-val" / "val2017" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, make_picture(16, 20, int(name)))
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES, **changed}
    (maps / "panoptic_val2017.json").write_text(json.dumps(content))
    for source in ("annotations", "val", "panoptic"):
        (folder / f"coco2017-{source}" / FETCHED).write_text("{}")
    dataset = make_dataset("coco2017", {"more": ["panoptic"]}, folder)
    assert dataset.sources() == ("coco2017-val", "coco2017-annotations", "coco2017-panoptic")
    (folder / "out").mkdir(exist_ok=True)
    dataset.provide(dataset.image_ids(), folder / "out")
    return dataset.merge_annotations(dict.fromkeys(dataset.image_ids(), folder / "out"))


def test_panoptic_files_of_coco(tmp_path: Path) -> None:
    found = coco_panoptic(tmp_path).more["panoptic"]
    assert found["categories"] == CATEGORIES
    truth = Truth(more={"panoptic": json.loads(json.dumps(found))})
    assert truth.labels("coco").segments == {1: "cat", 4: "dog", 90: "grass"}
    right = {name: np.full((16, 20), 4001) for name in found["images"]}
    assert judged(found, right)["pq"] == 1
    one = {"image_id": 9, "file_name": "000000000009.png"}
    good = {"id": 5, "category_id": 4, "iscrowd": 0}
    for change, message in (
        ({"categories": [{"id": 1, "name": "cat"}]}, "no `categories` with id, name, isthing"),
        ({"annotations": []}, r"image 000000000009\.png has no map \(2 of 2\)"),
        (
            {"annotations": [{**one, "segments_info": [{**good, "category_id": 3}]}]},
            "category_id=3",
        ),
        ({"annotations": [{**one, "segments_info": [good, good]}]}, "not different numbers"),
        ({"annotations": [{**one, "segments_info": [good], "file_name": "x.png"}]}, "is not there"),
        ({"annotations": [{**one, "segments_info": [good], "file_name": "../x"}]}, "file_name="),
    ):
        with pytest.raises(DatasetError, match=rf"panoptic_val2017\.json: .*{message}"):
            coco_panoptic(tmp_path, **change)


def test_mmdets_maps_become_categories_of_the_data_set() -> None:
    """Things have numbers, stuff has none; the class beyond the last is none."""
    numbers = np.array([4, 1, -1, 90])  # cat of the data set is the model's second class
    seen = np.array([[0 + 1000 * 3, 1 + 1000 * 1, 3], [2 + 1000 * 2, 4, 3]], np.int32)
    expected = [[4003, 1001, 90_001], [0, 0, 90_001]]
    assert to_segments(seen, numbers).tolist() == expected
    labels = Labels("coco", {}, (), {1: "cat", 90: "grass"})
    assert labels.segment_ids(["grass", "cow", "cat"], "it") == [90, -1, 1]
    with pytest.raises(TaskError, match="data set 'coco' has grass beside them"):
        labels.segment_ids(["cat"], "it")
    with pytest.raises(TaskError, match="data set 'x' has no panoptic maps; it finds segments"):
        Labels("x", {}, ()).segment_ids(["cat"], "it")


MASK2FORMER = "mask2former_r50_8xb2-lsj-50e_coco-panoptic"
SMALL = {
    "model.backbone.depth": 18,
    "model.panoptic_head.in_channels": [64, 128, 256, 512],
    "model.panoptic_head.num_queries": 12,
    "model.panoptic_head.pixel_decoder.encoder.num_layers": 1,
    "model.panoptic_head.transformer_decoder.num_layers": 1,
}


@pytest.mark.slow
def test_a_small_mask2former_finds_segments(tmp_path: Path) -> None:
    """Published configuration, narrowed; random weights, every query taken for a segment."""
    from icmbench.tasks.backends import openmm

    openmm.import_library("mmdet")
    known = openmm.dataset_classes("mmdet", openmm.read_config("mmdet", MASK2FORMER, {}))
    assert len(known) == 133
    chosen = {10 + n: name for n, name in enumerate(known)}
    overrides = {**SMALL, "model.test_cfg.iou_thr": 0.0, "model.test_cfg.object_mask_thr": 0.0}
    overrides["model.test_cfg.filter_low_score"] = False
    entry = {"config": MASK2FORMER, "checkpoint": "random", "scale": 96, "overrides": overrides}
    task = MmPanoptic("segments", entry)
    task.load(Labels("coco", {}, (), chosen), "cpu")
    image = make_picture(40, 56, 2)
    found = task.predict(image, []).map
    assert found.shape == (40, 56)
    numbers = [int(n) for n in np.unique(found) if n]
    assert len(numbers) > 1
    assert {n // 1000 for n in numbers} <= {*chosen}
    truth = truth_of(tmp_path, {"a": (found, {n: (n // 1000, 0) for n in numbers})})
    truth["categories"] = [{"id": n, "name": name, "isthing": 1} for n, name in chosen.items()]
    assert dict(evaluate({"a": image}, task, Truth(more={"panoptic": truth})))["pq"] == 1
