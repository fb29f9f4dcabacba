"""Metrics of tasks: pycocotools' and mmsegmentation's numbers, for any weighting of the images."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from task_checks import as_stored, evaluate

from icmbench.core.errors import ConfigError, MeasurementError, TaskError
from icmbench.tasks import store
from icmbench.tasks.base import INSTANCES, LANDMARKS, SEMANTIC, Instances, Labels, Task
from icmbench.tasks.evaluate import Truth, evaluator, read_truth
from icmbench.tasks.metrics.detection_metrics import DetectionEvaluator
from icmbench.tasks.metrics.segmentation_metrics import NO_CLASS, SegmentationEvaluator
from icmbench.tasks.registry import kinds, make_task

HEIGHT, WIDTH = 40, 50
CATEGORIES = (3, 7, 20)
BOX = ("box_map", "box_map50", "box_map75")
MASK = ("mask_map", "mask_map50")

Predictions = dict[str, Instances]


def rle(mask: np.ndarray) -> dict[str, Any]:
    encoded = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}


def uncompressed(mask: np.ndarray) -> dict[str, Any]:
    flat = mask.ravel(order="F").astype(int)
    runs = np.diff([0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *runs] if flat[0] else runs}


def segmentation(mask: np.ndarray, box: Sequence[float], form: int) -> Any:
    x, y, width, height = box
    corner = [x, y, x + width, y, x + width, y + height]
    return (rle(mask), uncompressed(mask), [corner, [1.0, 1.0, 5.0, 1.0, 5.0, 5.0, 1.0, 5.0]])[form]


def make_case(
    seed: int, *, levels: int | None = None, whole: bool = False, masks: bool = True, most: int = 8
) -> tuple[dict[str, Any], Predictions]:
    """Random objects and findings near them.

    Args:
        levels: number of different scores; None: all differ.
        whole: boxes of whole numbers, whose IoUs are equal now and then.
        most: findings of a picture.
    """
    rng = np.random.default_rng(seed)
    images, annotations, found = [], [], {}
    ids = rng.permutation(1000)[: rng.integers(2, 9)].tolist()
    for number, image_id in enumerate(ids):
        size = {"height": HEIGHT, "width": WIDTH}
        images.append({"id": image_id, "image": f"picture{number}", **size})
        objects = []
        for _ in range(rng.integers(0, 5)):
            x, y = rng.integers(0, WIDTH - 6), rng.integers(0, HEIGHT - 6)
            width, height = rng.integers(3, WIDTH - x), rng.integers(3, HEIGHT - y)
            box = [float(each) for each in (x, y, width, height)]
            if not whole:
                box = [box[0] + 0.13, box[1] + 0.71, box[2] - 0.5, box[3] - 0.5]
            mask = np.zeros((HEIGHT, WIDTH), bool)
            mask[y : y + height, x : x + width] = rng.random((height, width)) < 0.9
            category = int(rng.choice(CATEGORIES))
            objects.append((box, mask, category))
            entry = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": category,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": int(rng.random() < 0.15),
            }
            if masks:
                entry["segmentation"] = segmentation(mask, box, rng.integers(3))
            annotations.append(entry)
        found[f"picture{number}"] = findings(rng, objects, levels, whole, masks, most)
    order = rng.permutation(len(images))
    instances = {
        "images": [images[place] for place in order],
        "annotations": annotations,
        "categories": [{"id": each, "name": f"c{each}"} for each in CATEGORIES],
    }
    return instances, found  # fmt: skip


def findings(
    rng: np.random.Generator, objects: list[Any], levels: int | None, whole: bool, masks: bool,
    most: int,
) -> Instances:  # fmt: skip
    boxes, labels, rles = [], [], []
    for _ in range(rng.integers(0, most)):
        if objects and rng.random() < 0.8:
            box, mask, category = objects[rng.integers(len(objects))]
            shift = rng.integers(-2, 3, 4) if whole else rng.normal(0, 2, 4)
            x, y, width, height = np.array(box) + shift
            category = int(rng.choice(CATEGORIES)) if rng.random() < 0.2 else category
            mask = np.roll(mask, rng.integers(-1, 2, 2), (0, 1))
        else:
            x, y, width, height = rng.uniform(0, 20, 4)
            category, mask = int(rng.choice(CATEGORIES)), rng.random((HEIGHT, WIDTH)) < 0.3
        boxes.append([x, y, x + max(width, 0), y + max(height, 0)])
        labels.append(category)
        rles.append(rle(mask))
    scores = rng.random(len(boxes))
    if levels:
        scores = np.ceil(scores * levels) / levels
    shaped = np.array(boxes, np.float64).reshape(-1, 4)
    return Instances(shaped, scores, np.array(labels, np.int64), tuple(rles) if masks else None)


def pycocotools(
    instances: Mapping[str, Any], results: Mapping[str, list[dict[str, Any]]], kind: str,
    copies: Mapping[str, int],
) -> tuple[list[float], COCOeval]:  # fmt: skip
    """pycocotools' first three numbers where images stand several times in its lists."""
    entries = {entry["image"]: entry for entry in instances["images"]}
    images, annotations, rows = [], [], []
    for name in sorted(results, key=lambda name: entries[name]["id"]):
        for _ in range(copies[name]):
            number = len(images) + 1
            images.append({**entries[name], "id": number})
            annotations += [
                {**entry, "id": len(annotations) + 1 + place, "image_id": number}
                for place, entry in enumerate(
                    entry
                    for entry in instances["annotations"]
                    if entry["image_id"] == entries[name]["id"]
                )
            ]
            for result in results[name]:
                kept = {k: v for k, v in result.items() if kind == "segm" or k != "segmentation"}
                rows.append({**kept, "image_id": number})
    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = COCO(), COCO()
        shared = {"images": images, "categories": instances["categories"], "info": {}}
        truth.dataset = {**shared, "annotations": annotations}
        truth.createIndex()
        if rows:
            found = truth.loadRes(rows)
        else:
            found.dataset = {**shared, "annotations": []}
            found.createIndex()
        judge = COCOeval(truth, found, kind)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return [np.nan if value == -1 else value for value in judge.stats[:3]], judge


def as_results(found: Instances) -> list[dict[str, Any]]:
    """COCO results of a prediction, without going through the store."""
    rows = []
    for place, (x1, y1, x2, y2) in enumerate(found.boxes.tolist()):
        row = {"category_id": int(found.labels[place]), "score": float(found.scores[place]),
               "bbox": [x1, y1, x2 - x1, y2 - y1]}  # fmt: skip
        if found.masks is not None:
            row["segmentation"] = dict(found.masks[place])
        rows.append(row)
    return rows


CASES = [
    {"seed": seed, "levels": (None, 3, 1)[seed % 3], "whole": seed % 2 == 1,
     "masks": seed % 5 != 0, "most": 60 if seed % 7 == 6 else 8}
    for seed in range(16)
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["seed"]))
def test_pycocotools_numbers_for_every_weighting(case: dict[str, Any]) -> None:
    """Weights are the same as lists in which images stand several times; ties and crowds too."""
    instances, found = make_case(**case)
    judge = DetectionEvaluator(sorted(found), instances)
    counts = judge.count(found)
    weights = np.random.default_rng(case["seed"]).poisson(1, (3, len(found)))
    weights[0] = 1
    weights[2, 0] += 1  # no draw without an image
    values = judge.values(counts, weights)
    results = {name: as_results(each) for name, each in found.items()}
    assert (counts.masks is not None) == case["masks"]
    for row, copies in enumerate(weights):
        kept = dict(zip(judge.images, copies.tolist(), strict=True))
        if not copies.any():
            continue
        for kind, names in (("bbox", BOX), ("segm", MASK)):
            if kind == "segm" and counts.masks is None:
                assert all(np.isnan(values[name]).all() for name in MASK)
                continue
            expected, _ = pycocotools(instances, results, kind, kept)
            mine = [values[name][row] for name in names]
            np.testing.assert_allclose(mine, expected[: len(names)], rtol=0, atol=1e-12)


def against_pycocotools(instances: dict[str, Any], **found: Instances) -> float:
    """The mean of the three box metrics, which are pycocotools'."""
    mine = [judged(instances, **found)[name] for name in BOX]
    results = {name: as_results(each) for name, each in found.items()}
    expected, _ = pycocotools(instances, results, "bbox", dict.fromkeys(found, 1))
    np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-12)
    return float(np.mean(mine))


def test_an_overlap_at_a_threshold_is_the_one_of_the_stored_box() -> None:
    """x + width - x is not the width: in its last bit this overlap would reach 0.6."""
    x, y, width, height = stored = 186.956, 242.296, 118.656, 74.606
    truth = one_picture((1, [x, y, 197.76, height], 0))
    found = as_stored(things((1, 0.9, [x, y, x + width, y + height])))
    results = {"p": [{"category_id": 1, "score": 0.9, "bbox": list(stored)}]}
    expected, _ = pycocotools(truth, results, "bbox", {"p": 1})
    assert expected[0] == pytest.approx(0.2)
    assert judged(truth, p=found)["box_map"] == pytest.approx(0.2)


def test_more_than_a_hundred_findings_of_a_category() -> None:
    """COCO judges the hundred best of each category in an image: no hit behind them counts."""
    for misses, share in ((99, 0.01), (100, 0.0)):
        rows = [(1, 0.9, [100.0, 50.0, 110.0, 60.0])] * misses
        rows += [(90, 0.8, [0.0, 0.0, 5.0, 5.0])] * 30  # of another category: not counted
        found = things(*rows, (1, 0.1, [10.0, 10.0, 30.0, 30.0]))
        truth = one_picture((1, [10, 10, 20, 20], 0))
        assert against_pycocotools(truth, p=found) == pytest.approx(share, abs=1e-6)


def test_equal_overlaps_and_scores() -> None:
    """Of two objects that a box overlaps as much it takes the last one, as in pycocotools."""
    truth = one_picture((1, [0, 0, 10, 10], 0), (1, [4, 0, 10, 10], 0))
    between, on_first, on_last = ([x, 0, x + 10, 10] for x in (2, 0, 4))
    first = against_pycocotools(truth, p=things((1, 0.9, between), (1, 0.8, on_first)))
    last = against_pycocotools(truth, p=things((1, 0.9, between), (1, 0.8, on_last)))
    assert first > last + 0.1
    given = [
        against_pycocotools(truth, p=things((1, 0.9, a), (1, 0.9, b), (1, 0.9, c)))
        for a, b, c in ((between, on_first, on_last), (on_last, on_first, between))
    ]
    assert given[0] < given[1]  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_missed_and_hallucinated_follow_from_pycocotools_matches(seed: int) -> None:
    instances, found = make_case(seed, levels=4, masks=False)
    judge = DetectionEvaluator(sorted(found), instances)
    ones = np.ones((1, len(found)), np.int64)
    values = judge.values(judge.count(found), ones)
    shown = {
        name: [row for row in as_results(each) if row["score"] >= 0.5]
        for name, each in found.items()
    }
    _, reference = pycocotools(instances, shown, "bbox", dict.fromkeys(found, 1))
    everywhere = [e for e in reference.evalImgs if e and e["aRng"] == [0, 1e10]]
    objects = sum(int((each["gtIgnore"] == 0).sum()) for each in everywhere)
    hits = sum(
        int(((each["dtMatches"][0] > 0) & ~each["dtIgnore"][0]).sum()) for each in everywhere
    )
    wrong = sum(
        int(((each["dtMatches"][0] == 0) & ~each["dtIgnore"][0]).sum()) for each in everywhere
    )
    assert values["missed"][0] == pytest.approx((objects - hits) / objects, abs=1e-15)
    assert values["hallucinated"][0] == pytest.approx(wrong / len(found), abs=1e-15)


def one_picture(*objects: tuple[int, list[float], int]) -> dict[str, Any]:
    """Annotations of one picture `p`: category, box x y width height, crowd."""
    return {
        "images": [{"id": 8, "image": "p", "height": 100, "width": 200}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 90, "name": "dog"}],
        "annotations": [
            {
                "id": place + 1,
                "image_id": 8,
                "category_id": category,
                "bbox": box,
                "iscrowd": crowd,
                "area": box[2] * box[3],
            }
            for place, (category, box, crowd) in enumerate(objects)
        ],
    }


def things(*rows: tuple[int, float, list[float]]) -> Instances:
    """Category, score, x1 y1 x2 y2 of what was found."""
    labels, scores, boxes = zip(*rows, strict=True) if rows else ((), (), ())
    return Instances(
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(scores, np.float64),
        np.array(labels, np.int64),
    )


def judged(instances: dict[str, Any], **found: Instances) -> dict[str, float]:
    judge = DetectionEvaluator(list(found), instances)
    values = judge.values(judge.count(found), np.ones((1, len(found)), np.int64))
    assert list(values) == list(judge.metrics)
    return {name: float(value[0]) for name, value in values.items()}


def test_missed_and_hallucinated_by_hand() -> None:
    """Three objects and a crowd: one found twice, one too unsurely, one as the wrong thing."""
    truth = one_picture(
        (1, [10, 10, 20, 20], 0),
        (1, [50, 10, 20, 20], 0),
        (90, [100, 10, 20, 20], 0),
        (1, [0, 50, 200, 50], 1),
    )
    found = things(
        (1, 0.9, [10, 10, 30, 30]),
        (1, 0.8, [11, 10, 31, 30]),  # the same again: invented
        (1, 0.49, [50, 10, 70, 30]),  # right, but not shown
        (1, 0.7, [100, 10, 120, 30]),  # a cat where a dog is: invented
        (1, 0.95, [20, 60, 30, 70]),  # in the crowd: neither
        (90, 0.5, [20, 60, 30, 70]),  # the crowd is one of cats: invented
    )
    values = judged(truth, p=found)
    assert values["missed"] == pytest.approx(2 / 3)
    assert values["hallucinated"] == 3
    assert judged(truth, p=things())["missed"] == 1
    assert np.isnan(judged(one_picture(), p=found)["missed"])
    numbered = one_picture((1, [10, 10, 20, 20], 0))
    numbered["annotations"][0]["id"] = 0  # pycocotools takes this id for "not found"
    assert judged(numbered, p=found)["missed"] == 0
    assert judged(one_picture(), p=things())["hallucinated"] == 0


def test_planted_errors_are_caught() -> None:
    """A perfect prediction has perfect numbers; each usual mistake has not."""
    rng = np.random.default_rng(3)
    boxes = np.concatenate([rng.uniform(0, 120, (12, 2)), rng.uniform(6, 60, (12, 2))], axis=1)
    categories = rng.choice([1, 90], 12)
    truth = one_picture(*((int(c), b.tolist(), 0) for c, b in zip(categories, boxes, strict=True)))
    right = boxes.copy()
    right[:, 2:] += right[:, :2]
    scores = np.linspace(0.9, 0.6, 12)

    def score(corners: np.ndarray, labels: np.ndarray = categories) -> dict[str, float]:
        return judged(truth, p=Instances(corners, scores, labels))

    perfect = score(right)
    assert [perfect[name] for name in BOX] == [1, 1, 1]
    assert (perfect["missed"], perfect["hallucinated"]) == (0, 0)
    swapped = score(right[:, [1, 0, 3, 2]])  # y1 x1 y2 x2
    assert swapped["box_map50"] < 0.3
    assert swapped["missed"] > 0.5
    resized = score(right * (201 / 200))  # as for a picture that is a pixel wider
    assert resized["box_map"] < 0.98
    assert resized["box_map50"] == 1
    other = np.where(categories == 1, 90, 1)
    assert score(right, other)["box_map"] < 0.1
    off_by_one = judged(
        {**truth, "categories": [{"id": n, "name": str(n)} for n in (1, 2, 90, 91)]},
        p=Instances(right, scores, categories + 1),
    )
    assert (off_by_one["box_map"], off_by_one["missed"]) == (0, 1)
    with pytest.raises(TaskError, match="image 'p': label 2 is no category"):
        score(right, categories + 1)
    inclusive = score(right - [0, 0, 1, 1])  # x2 and y2 of the last pixel inside
    assert inclusive["box_map"] < 0.98


def test_masks_are_judged_where_all_have_them() -> None:
    instances, found = make_case(1)
    names = sorted(found)
    ones = np.ones((1, len(names)), np.int64)
    judge = DetectionEvaluator(names, instances)
    nothing = Instances(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64), ())
    boxes_alone = Instances(nothing.boxes, nothing.scores, nothing.labels, None)

    def mask_map(predictions: Predictions) -> float:
        return float(judge.values(judge.count(predictions), ones)["mask_map"][0])

    assert mask_map(dict.fromkeys(names, nothing)) == 0  # a segmenter that is blind
    assert np.isnan(mask_map(dict.fromkeys(names, boxes_alone)))  # a detector that is
    assert np.isfinite(mask_map(found))
    busy = max(names, key=lambda name: len(found[name].scores))
    partly = Instances(found[busy].boxes, found[busy].scores, found[busy].labels)
    assert np.isnan(mask_map({**found, busy: partly}))
    small = tuple(rle(np.ones((HEIGHT, WIDTH - 1))) for _ in found[busy].scores)
    wrong = Instances(found[busy].boxes, found[busy].scores, found[busy].labels, small)
    with pytest.raises(TaskError, match=rf"{busy}.*\[40, 49\].*\[40, 50\]"):
        judge.count({**found, busy: wrong})
    del instances["annotations"][0]["segmentation"]
    bare = DetectionEvaluator(names, instances)
    assert np.isnan(bare.values(bare.count(found), ones)["mask_map"]).all()


def test_draws_without_what_a_metric_is_of() -> None:
    """A category that no drawn image shows is left out; where none is shown there is no number."""
    truth = one_picture((1, [10, 10, 20, 20], 0))
    truth["images"] += [{"id": 2, "image": "q"}, {"id": 5, "image": "empty"}]
    truth["annotations"].append({"id": 77, "image_id": 2, "category_id": 90, "bbox": [0, 0, 9, 9]})
    judge = DetectionEvaluator(["p", "q", "empty"], truth)
    counts = judge.count({
        "p": things((1, 0.9, [10, 10, 30, 30])),
        "q": things(),
        "empty": things((90, 0.9, [1, 1, 5, 5])),
    })  # fmt: skip
    weights = np.array([[1, 1, 1], [3, 0, 0], [0, 2, 1], [0, 0, 2], [0, 0, 0]])
    values = judge.values(counts, weights)
    np.testing.assert_allclose(values["box_map"], [0.5, 1, 0, np.nan, np.nan], rtol=1e-12)
    np.testing.assert_array_equal(values["missed"], [0.5, 0, 1, np.nan, np.nan])
    np.testing.assert_allclose(values["hallucinated"], [1 / 3, 0, 1 / 3, 1, np.nan])
    with pytest.raises(ValueError, match="3 images"):
        judge.values(counts, weights[:, :2])
    with pytest.raises(MeasurementError, match="'empty'"):
        judge.count({"p": things(), "q": things()})
    none = DetectionEvaluator([], truth)
    assert np.isnan(none.values(none.count({}), np.zeros((2, 0), np.int64))["box_map"]).all()


def _annotation(**changes: Any) -> dict[str, Any]:
    truth = one_picture((1, [10, 10, 20, 20], 0), (1, [30, 30, 5, 5], 0))
    truth["annotations"][1] |= {"id": 17, **changes}
    return truth


BAD_TRUTH = {
    "there is no image 9": _annotation(image_id=9),
    "there is no category 2": _annotation(category_id=2),
    "width or height is negative": _annotation(bbox=[30, 30, -5, 5]),
    "its box is None": _annotation(bbox=None),
    r"its box is \[1, 2, 3\]": _annotation(bbox=[1, 2, 3]),
    "its box is .*nan": _annotation(bbox=[1, 2, 3, float("nan")]),
    r"is of size \[99, 200\]": _annotation(segmentation=rle(np.ones((99, 200)))),
    r"size \[200, 100\], its image of \[100, 200\]": _annotation(
        segmentation=rle(np.ones((200, 100)))
    ),
    "covers 20005 of 20000": _annotation(
        segmentation={"size": [100, 200], "counts": [5, 100 * 200]}
    ),
    "covers 19800 of 20000": _annotation(
        segmentation={"size": [100, 200], "counts": rle(np.ones((99, 200)))["counts"]}
    ),
    "are not run lengths": _annotation(segmentation={"size": [100, 200], "counts": "\x01"}),
    "covers 1099511627775 of": _annotation(
        segmentation={"size": [100, 200], "counts": "oooooooo0"}
    ),
    "the counts of its RLE are not": _annotation(segmentation={"size": [100, 200], "counts": 5}),
    "polygon 0 is not three": _annotation(segmentation=[[1, 1, 5, 5]]),
    "is not three or more pairs": _annotation(segmentation=[[1, 1, 5, 5, 1, 5, 6]]),
    "neither polygons nor RLE": _annotation(segmentation="mask"),
}


@pytest.mark.parametrize("reason", BAD_TRUTH)
def test_malformed_annotations_are_named(reason: str) -> None:
    with pytest.raises(TaskError, match=f"annotation 17: .*{reason}"):
        DetectionEvaluator(["p"], BAD_TRUTH[reason])


def test_other_malformed_dictionaries() -> None:
    DetectionEvaluator(["p"], _annotation())
    with pytest.raises(TaskError, match="image 'q' is not in"):
        DetectionEvaluator(["q"], _annotation())
    with pytest.raises(TaskError, match="annotation 1 stands twice"):
        DetectionEvaluator(["p"], _annotation(id=1))
    twice = _annotation()
    twice["images"].append({"id": 9, "image": "p"})
    with pytest.raises(TaskError, match="twice in the list of images"):
        DetectionEvaluator(["p"], twice)
    sizeless = _annotation(segmentation=rle(np.ones((100, 200))))
    del sizeless["images"][0]["width"]
    with pytest.raises(TaskError, match=r"annotation 17: .*no width and height"):
        DetectionEvaluator(["p"], sizeless)


# Semantic maps


def write_maps(
    folder: Path, seed: int, classes: int, pictures: int = 5
) -> tuple[dict[str, Path], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Files of truth, the truth, and predictions; some classes are rare, some absent."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(classes, 0.3))
    paths, truth, found = {}, {}, {}
    for number in range(pictures):
        name, shape = f"frame{number}", tuple(rng.integers(5, 40, 2))
        true = rng.choice(classes, shape, p=shares).astype(np.uint8)
        noise = rng.choice(classes, shape, p=shares).astype(np.uint8)
        found[name] = np.where(rng.random(shape) < 0.6, true, noise).astype(np.uint8)
        true[rng.random(shape) < 0.1] = 255
        paths[name], truth[name] = folder / f"{name}.png", true
        PillowImage.fromarray(true).save(paths[name])
    return paths, truth, found


@pytest.mark.parametrize("seed", range(5))
def test_mmsegmentation_numbers_for_every_weighting(tmp_path: Path, seed: int) -> None:
    from mmseg.evaluation import IoUMetric

    classes = [2, 3, 5, 11, 19][seed]
    paths, truth, found = write_maps(tmp_path, seed, classes)
    if seed >= 3:  # a class that the data set has not
        found["frame0"][:3] = NO_CLASS
    judge = SegmentationEvaluator(list(paths), paths, [f"c{n}" for n in range(classes)], 255)
    weights = np.array([[1, 1, 1, 1, 1], [3, 0, 1, 0, 2], [0, 0, 0, 0, 1]])
    counts = judge.count(found)
    values = judge.values(counts, weights)
    for row, copies in enumerate(weights):
        metric = IoUMetric(iou_metrics=["mIoU"])
        metric.dataset_meta = {"classes": [f"c{n}" for n in range(classes)]}
        for name, count in zip(paths, copies, strict=True):
            sample = {
                "pred_sem_seg": {"data": torch.from_numpy(found[name].astype(np.int64))},
                "gt_sem_seg": {"data": torch.from_numpy(truth[name].astype(np.int64))},
            }
            metric.process({}, [sample] * int(count))  # fmt: skip
        areas = [sum(part) for part in zip(*metric.results, strict=True)]
        exact = IoUMetric.total_area_to_metrics(*areas, metrics=["mIoU"])
        rounded = metric.compute_metrics(metric.results)
        for mine, theirs, title in (("miou", "IoU", "mIoU"), ("macc", "Acc", "mAcc"),
                                    ("aacc", "aAcc", "aAcc")):  # fmt: skip
            assert values[mine][row] == pytest.approx(np.nanmean(exact[theirs]), abs=1e-6)
            assert 100 * values[mine][row] == pytest.approx(rounded[title], abs=0.00501)


def test_planted_errors_of_maps_are_caught(tmp_path: Path) -> None:
    """Red for blue among the classes, and a map that lies one pixel off."""
    colours = np.array([[200, 0, 0], [0, 0, 200], [0, 200, 0]], np.uint8)
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, (6, 8)).astype(np.uint8).repeat(5, 0).repeat(5, 1)
    path = tmp_path / "a.png"
    PillowImage.fromarray(true).save(path)
    judge = SegmentationEvaluator(["a"], {"a": path}, ["red", "blue", "green"], 255)

    def miou(found: np.ndarray) -> float:
        counts = judge.count({"a": found.astype(np.uint8)})
        return float(judge.values(counts, np.ones((1, 1), np.int64))["miou"][0])

    def nearest(picture: np.ndarray) -> np.ndarray:
        return np.abs(picture[..., None, :].astype(int) - colours).sum(-1).argmin(-1)

    picture = colours[true]
    assert miou(nearest(picture)) == 1
    assert miou(nearest(picture[:, :, ::-1])) == pytest.approx(1 / 3)
    assert miou(np.roll(true, 1, axis=1)) < 0.9
    assert miou(np.full_like(true, NO_CLASS)) == 0
    ignored = SegmentationEvaluator(["a"], {"a": path}, ["red", "blue"], 2)
    half = ignored.values(ignored.count({"a": np.where(true == 2, 1, true).astype(np.uint8)}),
                          np.array([[1], [0]]))  # fmt: skip
    np.testing.assert_array_equal(half["miou"], [1, np.nan])


def test_maps_that_do_not_fit_are_named(tmp_path: Path) -> None:
    good, wide, deep, text = (tmp_path / f"{name}.png" for name in ("good", "wide", "deep", "text"))
    PillowImage.fromarray(np.full((4, 6), 2, np.uint8)).save(good)
    PillowImage.fromarray(np.zeros((4, 6, 3), np.uint8)).save(wide)
    PillowImage.fromarray(np.zeros((4, 6), np.uint16)).save(deep)
    text.write_text("a map")
    right = np.zeros((4, 6), np.uint8)

    def count(path: Path, classes: int = 3, found: np.ndarray = right) -> None:
        names = [f"c{n}" for n in range(classes)]
        SegmentationEvaluator(["a"], {"a": path}, names, 255).count({"a": found})

    count(good)
    for path, reason in ((wide, "mode RGB"), (deep, "mode I"), (text, "not a readable"),
                         (tmp_path / "none.png", "not a readable")):  # fmt: skip
        with pytest.raises(TaskError, match=f"{path}: .*{reason}"):
            count(path)
    with pytest.raises(TaskError, match=f"{good}: the map has 6x4 pixels, the prediction 5x4"):
        count(good, found=right[:, :5])
    with pytest.raises(TaskError, match=f"{good}: holds 2, there are 2 classes"):
        count(good, classes=2)
    with pytest.raises(TaskError, match="'a': the prediction holds 3, there are 3"):
        count(good, found=right + 3)
    with pytest.raises(TaskError, match="'b' has no semantic map"):
        SegmentationEvaluator(["b"], {"a": good}, ["c"], 255)
    with pytest.raises(MeasurementError, match="'a' has no prediction"):
        SegmentationEvaluator(["a"], {"a": good}, ["c0", "c1", "c2"], 255).count({})


# What is stored


def random_prediction(rng: np.random.Generator, produces: str) -> Any:
    if produces == SEMANTIC:
        return rng.integers(0, 20, rng.integers(1, 30, 2)).astype(np.uint8)
    if produces == LANDMARKS:
        return rng.normal(100, 200, (rng.integers(0, 4), 68, 2))
    count = int(rng.integers(0, 30))
    corner = rng.normal(0, 300, (count, 2))
    boxes = np.concatenate([corner, corner + rng.exponential(50, (count, 2))], axis=1)
    labels = rng.integers(1, 91, count)
    masks = tuple(rle(rng.random((9, 7)) < 0.5) for _ in range(count))
    return Instances(boxes, rng.random(count) ** 4, labels, masks if rng.random() < 0.5 else None)


def same(first: Any, second: Any) -> bool:
    if isinstance(first, Instances):
        parts = (("boxes", np.float64), ("scores", np.float64), ("labels", np.int64))
        for name, kind in parts:
            a, b = getattr(first, name), getattr(second, name)
            if a.dtype != kind or b.dtype != kind or not np.array_equal(a, b):
                return False
        return first.masks == second.masks
    return first.dtype == second.dtype and np.array_equal(first, second)


@pytest.mark.parametrize("produces", [INSTANCES, SEMANTIC, LANDMARKS])
def test_predictions_come_back_from_several_shards(tmp_path: Path, produces: str) -> None:
    rng = np.random.default_rng(11)
    points = ["webp:quality=20,scale=0.5", "originals"]
    names = ["a", "b+c.jpg", "ü", "d"]
    kept = {(point, name): random_prediction(rng, produces) for point in points for name in names}
    paths = [tmp_path / "0.zip", tmp_path / "1.zip"]
    for path, held in zip(paths, (names[:3], names[3:]), strict=True):
        for target in (path, tmp_path / f"again-{path.name}"):
            with store.writer(target) as archive:
                for point in points:
                    for name in held:
                        archive.add(point, name, kept[point, name])
            assert target.read_bytes() == path.read_bytes()
    with zipfile.ZipFile(paths[0]) as archive:
        extension = "png" if produces == SEMANTIC else "json"
        assert f"webp-quality20-scale0.5/b+c.jpg.{extension}" in archive.namelist()
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_DEFLATED}
    for point in points:
        found = store.read(paths, point, names, produces)
        assert list(found) == names
        for name in names:
            given, back = kept[point, name], found[name]
            assert same(back, as_stored(given))
            assert same(as_stored(back), back)
            if isinstance(given, Instances):
                np.testing.assert_allclose(back.boxes, given.boxes, rtol=0, atol=0.00101)
                np.testing.assert_allclose(back.scores, given.scores, rtol=1e-5)
                assert np.array_equal(back.labels, given.labels)
                assert back.masks == given.masks
            elif produces == LANDMARKS:
                np.testing.assert_allclose(back, given, rtol=0, atol=0.000501)
            else:
                assert np.array_equal(back, given)
    with pytest.raises(MeasurementError, match=r"0\.zip, .*1\.zip: no prediction of e .*1 of 2"):
        store.read(paths, points[0], ["a", "e"], produces)
    with pytest.raises(MeasurementError, match="in another file"):
        store.read([paths[0], tmp_path / "again-0.zip"], points[0], ["a"], produces)


def test_what_is_stored_is_what_pycocotools_reads(tmp_path: Path) -> None:
    """The members are COCO results: pycocotools' numbers of them are the evaluator's."""
    instances, found = make_case(2, levels=5)
    path = tmp_path / "0.zip"
    with store.writer(path) as archive:
        for name in sorted(found):
            archive.add("jpeg:quality=10", name, found[name])
    with zipfile.ZipFile(path) as archive:
        members = {name: json.loads(archive.read(f"jpeg-quality10/{name}.json")) for name in found}
    results = {name: member["things"] for name, member in members.items()}
    assert all(member["size"] == [HEIGHT, WIDTH] for name, member in members.items()
               if len(found[name].scores))  # fmt: skip
    judge = DetectionEvaluator(sorted(found), instances)
    stored = store.read([path], "jpeg:quality=10", judge.images, INSTANCES)
    values = judge.values(judge.count(stored), np.ones((1, len(found)), np.int64))
    for kind, names in (("bbox", BOX), ("segm", MASK)):
        expected, _ = pycocotools(instances, results, kind, dict.fromkeys(found, 1))
        mine = [values[name][0] for name in names]
        np.testing.assert_allclose(mine, expected[: len(names)], rtol=0, atol=1e-12)


@pytest.mark.parametrize("produces", [INSTANCES, SEMANTIC, LANDMARKS])
def test_damaged_files_are_named(tmp_path: Path, produces: str) -> None:
    """Whatever byte changes: what was stored comes back, or an error that names the file."""
    rng = np.random.default_rng(4)
    kept = {name: random_prediction(rng, produces) for name in ("a", "b")}
    whole, path = tmp_path / "whole.zip", tmp_path / "broken.zip"
    with store.writer(whole) as archive:
        for name, prediction in kept.items():
            archive.add("x", name, prediction)
    data = whole.read_bytes()
    broken = [data[:cut] for cut in rng.integers(0, len(data), 20)]
    for place in [*range(60), *range(len(data) - 200, len(data)), *rng.integers(0, len(data), 150)]:
        changed = bytearray(data)
        changed[place] ^= 1 << rng.integers(8)
        broken.append(bytes(changed))
    refused = 0
    for content in broken:
        path.write_bytes(content)
        try:
            found = store.read([path], "x", ["a", "b"], produces)
        except MeasurementError as error:
            assert str(path) in str(error)  # noqa: PT017
            refused += 1
        else:
            assert all(same(found[name], as_stored(kept[name])) for name in kept)
    assert refused > len(broken) / 2
    with pytest.raises(MeasurementError, match=r"none\.zip"):
        store.read([tmp_path / "none.zip"], "x", ["a"], produces)
    with store.writer(path) as archive:
        archive.add("x", "a", np.zeros((2, 68, 2)))
    with pytest.raises(MeasurementError, match=r"broken\.zip"):
        store.read([path], "x", ["a"], INSTANCES)


def test_a_failing_job_leaves_no_file(tmp_path: Path) -> None:
    with (  # noqa: PT012 - the second one fails
        pytest.raises(ValueError, match="twice"),
        store.writer(tmp_path / "0.zip") as archive,
    ):
        archive.add("x", "a", things())
        archive.add("x", "a", things())
    assert list(tmp_path.iterdir()) == []


BAD_PREDICTIONS: dict[str, Any] = {
    "ends before it begins": things((1, 0.5, [10, 10, 5, 20])),
    "is not finite": things((1, 0.5, [10, 10, np.inf, 20])),
    "score is not finite": things((1, np.nan, [10, 10, 20, 20])),
    "have the shapes": Instances(np.zeros((2, 4)), np.zeros(3), np.zeros(3, np.int64)),
    "1 masks of 0": Instances(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64), ({},)),
    "as text": Instances(np.zeros((1, 4)), np.zeros(1), np.ones(1, np.int64),
                         ({"size": [1, 1], "counts": b"1"},)),
    "a landmark is not finite": np.full((1, 68, 2), np.nan),
    r"float64 \(1, 5, 2\)": np.zeros((1, 5, 2)),
    r"int64 \(4, 4\)": np.zeros((4, 4), np.int64),
    r"uint8 \(1, 4, 4\)": np.zeros((1, 4, 4), np.uint8),
}  # fmt: skip


@pytest.mark.parametrize("reason", BAD_PREDICTIONS)
def test_impossible_predictions_are_refused(tmp_path: Path, reason: str) -> None:
    with (
        pytest.raises(TaskError, match=f"image 'a' of jpeg:quality=10: .*{reason}"),
        store.writer(tmp_path / "0.zip") as archive,
    ):
        archive.add("jpeg:quality=10", "a", BAD_PREDICTIONS[reason])
    assert not (tmp_path / "0.zip").exists()


# From pictures to rows


class Fake(Task):
    """Says what a table says, whatever the picture."""

    kind = "fake"
    answers: Mapping[int, Any] = {}
    produced = INSTANCES

    @property
    def produces(self) -> str:
        return self.produced

    @property
    def model(self) -> str:
        return "Fake"

    def load(self, labels: Labels, device: str) -> None:
        pass

    def predict(self, image: np.ndarray, faces: Sequence[Sequence[float]]) -> Any:
        answer = self.answers[int(image[0, 0, 0])]
        return answer(faces) if callable(answer) else answer


def fake(produces: str, *answers: Any) -> Fake:
    task = Fake("fake", {})
    task.produced, task.answers = produces, dict(enumerate(answers))
    return task


def pictures(*names: str) -> dict[str, np.ndarray]:
    return {name: np.full((4, 6, 3), place, np.uint8) for place, name in enumerate(names)}


def test_rows_of_a_task_are_those_of_its_stored_predictions(tmp_path: Path) -> None:
    """Scores and boxes that rounding makes equal or moves over a threshold are judged rounded."""
    truth = Truth(instances=one_picture((1, [10, 10, 20, 20], 0)))
    exact = things((1, 0.49999999, [10, 10, 30, 30]), (1, 0.4999, [10.0004, 10, 30, 30]))
    rows = dict(evaluate(pictures("p"), fake(INSTANCES, exact), truth))
    assert list(rows) == list(DetectionEvaluator.metrics)
    assert rows["missed"] == 0  # 0.49999999 is stored as 0.5
    assert rows["box_map"] == pytest.approx(1)
    with store.writer(tmp_path / "0.zip") as archive:
        archive.add("x", "p", exact)
    stored = store.read([tmp_path / "0.zip"], "x", ["p"], INSTANCES)
    expected = judged(dict(truth.instances), **stored)
    np.testing.assert_array_equal(list(rows.values()), list(expected.values()))
    with pytest.raises(TaskError, match="image 'q' is not in"):
        evaluate(pictures("p", "q"), fake(INSTANCES, exact, exact), truth)
    with pytest.raises(MeasurementError, match="no image"):
        evaluate({}, fake(INSTANCES), truth)
    with pytest.raises(TaskError, match="no annotations of the kind semantic"):
        evaluate(pictures("p"), fake(SEMANTIC), truth)


def test_every_kind_of_task_has_its_evaluator(tmp_path: Path) -> None:
    PillowImage.fromarray(np.eye(4, 6, dtype=np.uint8)).save(tmp_path / "p.png")
    points = np.random.default_rng(0).uniform(0, 50, (68, 2))
    face = {"landmarks": points.tolist(), "bbox": [0, 0, 50, 60]}
    truth = Truth(landmarks={"p": [face], "q": []}, classes=("no", "yes"),
                  maps={"p": tmp_path / "p.png"})  # fmt: skip
    seen: list[Any] = []

    def landmarks(faces: Any) -> np.ndarray:
        seen.append(faces)
        return np.array([points] * len(faces)).reshape(-1, 68, 2)

    rows = dict(evaluate(pictures("p", "q"), fake(LANDMARKS, landmarks, landmarks), truth))
    assert rows["nme"] == pytest.approx(0, abs=1e-4)
    assert seen == [[[0, 0, 50, 60]], []]
    rows = dict(evaluate(pictures("p"), fake(SEMANTIC, np.eye(4, 6, dtype=np.uint8)), truth))
    assert rows == {"miou": 1, "macc": 1, "aacc": 1}


def test_truth_is_read_from_a_data_sets_folder(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    contents = {
        "instances.json": one_picture((90, [1, 2, 3, 4], 0)),
        "landmarks.json": {"p": [{"bbox": [1, 2, 3, 4], "landmarks": [[0, 0]] * 68}]},
        "classes.json": ["sky", "road"],
        "semantic.json": {"ignore": 11, "maps": {"p": "maps/p.png", "q": "/far/q.png"}},
        "more.json": {"captions": {"p": ["a road"]}},
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))
    truth = read_truth(folder)
    assert truth.labels("roads") == Labels("roads", {1: "cat", 90: "dog"}, ("sky", "road"))
    assert truth.ignore == 11
    assert truth.more == {"captions": {"p": ["a road"]}}
    assert truth.maps == {"p": folder / "maps/p.png", "q": Path("/far/q.png")}
    assert truth.face_boxes("p") == [[1, 2, 3, 4]]
    assert truth.face_boxes("q") == []
    evaluator(INSTANCES, truth, ["p"])
    for name, content in contents.items():
        for broken in ("{", None):
            if broken is None:
                (folder / name).unlink()
            else:
                (folder / name).write_text(broken)
            with pytest.raises(MeasurementError, match=str(folder / name)):
                read_truth(folder)
        (folder / name).write_text(json.dumps(content))
    (folder / "semantic.json").write_text("[1]")
    with pytest.raises(MeasurementError, match=r"semantic\.json"):
        read_truth(folder)


def test_a_configuration_entry_is_a_task() -> None:
    entry = {"type": "onnx-detector", "model": "a/yolox.onnx", "datasets": ["coco"]}
    task = make_task("boxes", entry)
    assert (task.kind, task.model, task.produces) == ("onnx-detector", "yolox", INSTANCES)
    assert entry["datasets"] == ["coco"]
    assert make_task("onnx-detector", {"model": "x.onnx"}).name == "onnx-detector"
    assert {"espnet", "onnx-detector", "onnx-segmenter"} <= set(kinds())
    with pytest.raises(ConfigError, match=r"type of task 'boxes' .*mean 'onnx-detector'"):
        make_task("boxes", {"type": "onnx-detectr"})
    with pytest.raises(ConfigError, match="option of task 'boxes' 'modle'"):
        make_task("boxes", {"type": "onnx-detector", "modle": "x"})
    with pytest.raises(ConfigError, match="needs the option 'model'"):
        make_task("boxes", {"type": "onnx-detector"})
