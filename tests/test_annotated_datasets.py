"""Data sets with annotations: what is refused, what is kept, and that pycocotools agrees."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import ROOT, make_picture
from official import REAL, needs
from paper_stubs import place_weights
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from icmbench.config.run import make_run
from icmbench.core.errors import ConfigError, DatasetError
from icmbench.core.images.image_files import write_png
from icmbench.datasets.base import Annotations, Dataset
from icmbench.datasets.coco_format import check_instances, decode_counts, read_instances
from icmbench.datasets.manifest import provide_shard
from icmbench.datasets.records import shard_of, usable
from icmbench.datasets.registry import make_dataset
from icmbench.sources.catalogue import shipped_sources

real_data = needs(REAL)


def random_mask(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Blocks, noise, nothing or everything: runs of one pixel and runs of thousands."""
    kind = rng.integers(4)
    if kind == 0:
        return np.full((height, width), rng.integers(2), np.uint8)
    if kind == 1:
        return rng.integers(0, 2, (height, width)).astype(np.uint8)
    rows, columns = np.mgrid[:height, :width]
    y, x, r = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(1, 40)
    return ((rows - y) ** 2 + (columns - x) ** 2 < r * r).astype(np.uint8)


def runs_of(mask: np.ndarray) -> list[int]:
    """Run lengths down the columns, the first of zeros: worked out without pycocotools."""
    flat = mask.T.reshape(-1)
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    return [0, *runs] if flat[0] else runs


def compressed(mask: np.ndarray) -> str:
    return coco_mask.encode(np.asfortranarray(mask))["counts"].decode("ascii")


def random_segmentation(rng: np.random.Generator, kind: int, height: int, width: int) -> Any:
    if kind in (0, 1):
        return (None, [])[kind]
    if kind == 2:
        count = int(rng.integers(1, 4))
        return [(rng.random(2 * int(rng.integers(3, 9))) * 50).tolist() for _ in range(count)]
    mask = random_mask(rng, height, width)
    return {"size": [height, width], "counts": (runs_of, compressed)[kind == 4](mask)}


def random_instances(seed: int) -> dict[str, Any]:
    """A valid dictionary with every legal kind of annotation; ids neither dense nor sorted."""
    rng = np.random.default_rng(seed)
    images = [
        {
            "id": int(number),
            "file_name": f"sub/{number}.png",
            "width": int(rng.integers(1, 120)),
            "height": int(rng.integers(1, 120)),
        }
        for number in rng.choice(10**6, 6, replace=False)
    ]
    categories = [
        {"id": int(number), "name": f"thing {number}"}
        for number in rng.choice(200, 5, replace=False)
    ]
    annotations = []
    for position, number in enumerate(rng.choice(10**7, 25, replace=False)):
        image = images[rng.integers(5)]  # the sixth stays without annotations
        shape = (image["height"], image["width"])
        annotation = {
            "id": int(number) + 1,
            "image_id": image["id"],
            "category_id": categories[rng.integers(5)]["id"],
            "bbox": (rng.random(4) * 40).tolist(),
            "area": float(rng.random() * 400),
            "iscrowd": int(rng.integers(2)),
            "segmentation": random_segmentation(rng, position % 5, *shape),
        }
        if position % 10 == 0:
            del annotation["segmentation"]
        annotations.append(annotation)
    return {"images": images, "categories": categories, "annotations": annotations}


def coco_index(instances: dict[str, Any]) -> COCO:
    index = COCO()
    index.dataset = copy.deepcopy(instances)
    with contextlib.redirect_stdout(io.StringIO()):
        index.createIndex()
    return index


@pytest.mark.parametrize("seed", range(20))
def test_valid_instances_pass(seed: int) -> None:
    instances = random_instances(seed)
    before = copy.deepcopy(instances)
    check_instances(instances, "f.json")
    assert instances == before
    index = coco_index(instances)
    for annotation in instances["annotations"]:
        if annotation.get("segmentation"):
            image = index.imgs[annotation["image_id"]]
            assert index.annToMask(annotation).shape == (image["height"], image["width"])


@pytest.mark.parametrize("seed", range(40))
def test_compressed_runs(seed: int) -> None:
    """Our reading of the format against runs counted from the pixels; no shorter text passes."""
    rng = np.random.default_rng(seed)
    mask = random_mask(rng, int(rng.integers(1, 300)), int(rng.integers(1, 300)))
    text = compressed(mask)
    assert decode_counts(text) == runs_of(mask)
    for end in {0, 1, len(text) // 2, len(text) - 1} - {len(text)}:
        runs = decode_counts(text[:end])
        assert runs is None or sum(runs) < mask.size
    for wrong in ("/", "p", "é", "\x00", "P" * 20):
        assert decode_counts(text + wrong) is None


Change = Callable[[dict[str, Any]], None]


def annotation_with(kind: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The first annotation of a kind of segmentation (see `random_segmentation`)."""
    return lambda data: data["annotations"][kind if kind else 10]


def put(kind: int, key: str, value: Any) -> Change:
    return lambda data: annotation_with(kind)(data).update({key: value})


def put_rle(kind: int, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Change:
    def apply(data: dict[str, Any]) -> None:
        rle = annotation_with(kind)(data)["segmentation"]
        rle.update(change(rle))

    return apply


NAN, INF = float("nan"), float("inf")
ANNOTATION_FAULTS: dict[str, tuple[int, Change, str]] = {
    "unknown image": (2, put(2, "image_id", -7), r"image_id=-7 is the id of no entry of images"),
    "unknown category": (2, put(2, "category_id", 777), "category_id=777 is the id of no entry"),
    "image id as text": (2, put(2, "image_id", "3"), "image_id='3'"),
    "no image": (2, put(2, "image_id", None), "image_id=None"),
    "category list": (2, put(2, "category_id", [1]), r"category_id=\[1\]"),
    "box of three": (1, put(1, "bbox", [1, 2, 3]), r"bbox=\[1, 2, 3\] is not four"),
    "box of text": (1, put(1, "bbox", [1, 2, 3, "4"]), "not four finite numbers"),
    "box of nan": (1, put(1, "bbox", [1, NAN, 3, 4]), "not four finite numbers"),
    "box of infinity": (1, put(1, "bbox", [1, 2, INF, 4]), "not four finite numbers"),
    "box of truth": (1, put(1, "bbox", [1, 2, 3, True]), "not four finite numbers"),
    "no box": (1, put(1, "bbox", None), "bbox=None"),
    "negative width": (1, put(1, "bbox", [1, 2, -3, 4]), "negative size"),
    "negative height": (1, put(1, "bbox", [1, 2, 3, -0.1]), "negative size"),
    "no area": (1, put(1, "area", None), "area=None is not a finite number"),
    "area of nan": (1, put(1, "area", NAN), "area=nan"),
    "negative area": (1, put(1, "area", -1), "area=-1"),
    "huge area": (1, put(1, "area", 10**400), "area=1000"),
    "crowd of two": (3, put(3, "iscrowd", 2), "iscrowd=2 is neither 0 nor 1"),
    "crowd as truth": (3, put(3, "iscrowd", True), "iscrowd=True"),
    "no crowd flag": (3, put(3, "iscrowd", None), "iscrowd=None"),
    "flat polygon": (2, put(2, "segmentation", [1, 2, 3, 4, 5, 6]), "polygon 0 is not three"),
    "box as polygon": (2, put(2, "segmentation", [[0] * 6, [1, 2, 3, 4]]), "polygon 1 is not"),
    "odd polygon": (2, put(2, "segmentation", [[1] * 7]), "polygon 0 is not three or more pairs"),
    "polygon of nan": (2, put(2, "segmentation", [[1] * 5 + [NAN]]), "polygon 0 holds"),
    "text for a mask": (2, put(2, "segmentation", "abc"), "neither polygons nor RLE"),
    "size turned": (3, put_rle(3, lambda r: {"size": [r["size"][0] + 1, r["size"][1]]}), "of size"),
    "no size": (4, put_rle(4, lambda r: {"size": None}), "of size None"),
    "runs too short": (3, put_rle(3, lambda r: {"counts": r["counts"][:-1]}), "covers"),
    "runs too long": (3, put_rle(3, lambda r: {"counts": [*r["counts"], 1]}), "covers"),
    "negative run": (3, put_rle(3, lambda r: {"counts": [-1, *r["counts"], 1]}), "not run lengths"),
    "runs of fractions": (3, put_rle(3, lambda r: {"counts": [0.5]}), "not run lengths"),
    "no counts": (4, put_rle(4, lambda r: {"counts": None}), "not run lengths"),
    "text of runs cut": (4, put_rle(4, lambda r: {"counts": r["counts"] + "P"}), "not run lengths"),
    "foreign text": (4, put_rle(4, lambda r: {"counts": "~~~"}), "not run lengths"),
}


@pytest.mark.parametrize("fault", ANNOTATION_FAULTS)
def test_faulty_annotations_are_named(fault: str) -> None:
    """The message names the file, the annotation and the reason, wherever the fault stands."""
    kind, change, reason = ANNOTATION_FAULTS[fault]
    for seed in range(3):
        data = random_instances(seed)
        change(data)
        number = annotation_with(kind)(data)["id"]
        with pytest.raises(DatasetError, match=rf"^f\.json: annotation {number}: .*{reason}"):
            check_instances(data, "f.json")


def same_id(name: str) -> Change:
    return lambda data: data[name][3].update(id=data[name][1]["id"])


FAULTS: dict[str, tuple[Change, str]] = {
    "captions": (lambda d: d.pop("categories"), "not a COCO instances file: no list 'categories'"),
    "test set": (lambda d: d.pop("annotations"), "no list 'annotations'"),
    "images by id": (lambda d: d.update(images={}), "no list 'images'"),
    "two images": (same_id("images"), r"two entries have the image id \d+"),
    "two annotations": (same_id("annotations"), r"two entries have the annotation id \d+"),
    "two categories": (same_id("categories"), r"two entries have the category id \d+"),
    "id as text": (lambda d: d["images"][2].update(id="5"), "image at position 2: its id"),
    "id as truth": (lambda d: d["images"][2].update(id=True), "image at position 2: its id"),
    "no entry": (lambda d: d["annotations"].insert(1, 5), "annotation at position 1: its id"),
    "no category name": (lambda d: d["categories"][1].pop("name"), r"category \d+ has no name"),
    "negative category": (lambda d: d["categories"][1].update(id=-1), "category -1"),
    "names twice": (
        lambda d: d["categories"][1].update(name=d["categories"][0]["name"]),
        r"two categories have the name 'thing \d+'",
    ),
    "files twice": (
        lambda d: d["images"][1].update(file_name=d["images"][0]["file_name"]),
        r"two images have the file name 'sub/\d+.png'",
    ),
    "no file": (lambda d: d["images"][1].pop("file_name"), r"image \d+: file_name=None"),
    "file outside": (lambda d: d["images"][1].update(file_name="a/../../b"), "leads out of"),
    "absolute file": (lambda d: d["images"][1].update(file_name="/etc/x"), "leads out of"),
    "no width": (lambda d: d["images"][1].pop("width"), "width=None is not a number of pixels"),
    "empty image": (lambda d: d["images"][1].update(height=0), "height=0"),
    "half a pixel": (lambda d: d["images"][1].update(height=1.5), "height=1.5"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_files_are_named(fault: str) -> None:
    change, reason = FAULTS[fault]
    data = random_instances(1)
    change(data)
    with pytest.raises(DatasetError, match=rf"^f\.json: .*{reason}"):
        check_instances(data, "f.json")


def test_files_that_are_not_instances(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(DatasetError, match=r"a\.json: cannot be read: No such file"):
        read_instances(path)
    for content in (b"", b"{", b"\xff\xfe", b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=r"a\.json: not JSON: "):
            read_instances(path)
    for content in (b"[]", b"3", b"null", b"{}"):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=r"a\.json: not a COCO instances file"):
            read_instances(path)


# A set on disk.


def write_set(root: Path, instances: dict[str, Any], name: str = "instances.json") -> Path:
    """The pictures of an instances dictionary and its file."""
    for image in instances["images"]:
        path = root / "images" / image["file_name"]
        if not path.exists():
            picture = make_picture(image["height"], image["width"], image["id"])
            write_png(path, picture)
    (root / name).write_text(json.dumps(instances))
    return root


def coco_set(root: Path, **options: Any) -> Dataset:
    entry = {"path": str(root / "images"), "annotations": str(root / "instances.json"), **options}
    return make_dataset("mine", {"type": "coco", **entry}, root / "downloads")


def merged(dataset: Dataset, folder: Path, shards: int = 1) -> Annotations:
    """As the workflow does it: every shard in a folder of its own, then all together."""
    folders = [folder / str(shard) for shard in range(shards)]
    records = [r for s in range(shards) for r in provide_shard(dataset, s, shards, folders[s])]
    return dataset.merge_annotations({r.image: folders[shard_of(r.image, shards)] for r in records})


def two_images() -> dict[str, Any]:
    """A picture with a thing and a crowd, and one with nothing."""
    crowd = np.zeros((60, 80), np.uint8)
    crowd[10:50, 40:80] = 1
    return {
        "licenses": [{"id": 4, "name": "CC-BY"}],
        "images": [
            {"id": 9, "file_name": "b/two.png", "width": 80, "height": 60, "license": 4},
            {"id": 7, "file_name": "one.png", "width": 30, "height": 20},
        ],
        "categories": [{"id": 90, "name": "bird"}, {"id": 13, "name": "boat"}],
        "annotations": [
            {"id": 5, "image_id": 9, "category_id": 90, "bbox": [5, 5, 20, 20], "area": 400,
             "iscrowd": 0, "segmentation": [[5, 5, 25, 5, 25, 25, 5, 25]]},
            {"id": 3, "image_id": 9, "category_id": 90, "bbox": [40, 10, 40, 40], "area": 1600,
             "iscrowd": 1, "segmentation": {"size": [60, 80], "counts": runs_of(crowd)}},
        ],
    }  # fmt: skip


def test_coco_keeps_what_the_file_says(tmp_path: Path) -> None:
    """Every annotation as it stands in the file; images without any are images of the set."""
    instances = random_instances(4)
    root = write_set(tmp_path, instances)
    write_png(root / "images" / "not-listed.png", make_picture(5, 5))
    dataset = coco_set(root)
    names = sorted(f"sub+{image['id']}.png" for image in instances["images"])
    assert dataset.annotated
    assert dataset.image_ids() == names
    got = merged(dataset, tmp_path / "out", shards=3)
    assert got == merged(dataset, tmp_path / "whole")
    found = {image.pop("image"): image for image in copy.deepcopy(got.instances["images"])}
    assert list(found) == names
    assert sorted(found.values(), key=str) == sorted(instances["images"], key=str)
    assert got.instances["categories"] == instances["categories"]
    expected = [
        {k: v for k, v in a.items() if k != "segmentation" or v} for a in instances["annotations"]
    ]
    assert got.instances["annotations"] == expected
    assert {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()} == {"sizes.json"}
    check_instances(got.instances, "merged")
    json.dumps(got.instances)


def test_a_subset_of_the_images_of_a_coco_file(tmp_path: Path) -> None:
    """An error that names the remedy; with it the set is what lies in the folder, and counted."""
    instances = random_instances(6)
    root = write_set(tmp_path, instances)
    names = coco_set(root).image_ids()
    assert coco_set(root, missing="skip").notes() == [
        f"0 of 6 listed images are not in {root / 'images'} and are skipped"
    ]
    for name in names[1:3]:
        (root / "images" / name.replace("+", "/")).unlink()
    with pytest.raises(DatasetError, match=r"\(2 of 6\).*`missing: skip`"):
        coco_set(root).image_ids()
    kept = [names[0], *names[3:]]
    dataset = coco_set(root, missing="skip")
    assert dataset.image_ids() == kept
    assert coco_set(root, missing="skip", limit=2).image_ids() == kept[:2]
    assert dataset.notes()[0].startswith("2 of 6 listed images")
    got = merged(dataset, tmp_path / "out", shards=2).instances
    assert [image["image"] for image in got["images"]] == kept
    numbers = {image["id"] for image in got["images"]}
    assert got["annotations"] == [
        {k: v for k, v in a.items() if k != "segmentation" or v}
        for a in instances["annotations"]
        if a["image_id"] in numbers
    ]
    with pytest.raises(ConfigError, match="missing: ignore is neither error nor skip"):
        coco_set(root, missing="ignore")
    with pytest.raises(ConfigError, match="missing: skip needs path"):
        make_dataset("val", {"type": "coco2017", "missing": "skip"}, tmp_path)
    with pytest.raises(DatasetError, match="none of the images"):
        coco_set(root, missing="skip", path=str(root)).image_ids()


def test_coco_records(tmp_path: Path) -> None:
    """Read where they lie; sizes are the files'; the licence is the file's, or the given one."""
    root = write_set(tmp_path, two_images())
    (root / "images" / "one.png").write_bytes(b"broken")
    records = provide_shard(coco_set(root), 0, 1, tmp_path / "out")
    assert [r.image for r in records] == ["b+two.png", "one.png"]
    assert [r.image for r in usable(records)] == ["b+two.png"]
    assert Path(records[0].path) == root / "images" / "b" / "two.png"
    assert (records[0].width, records[0].height, records[0].licence) == (80, 60, "CC-BY")
    given = provide_shard(coco_set(root, licence="ours"), 0, 1, tmp_path / "out")
    assert [r.licence for r in given] == ["ours", "ours"]
    # What cannot be coded is not an image whose things every codec misses.
    got = merged(coco_set(root), tmp_path / "out").instances
    assert [image["image"] for image in got["images"]] == ["b+two.png"]


def test_coco_limit(tmp_path: Path) -> None:
    """The first images by id; the others need not be there, nor do their annotations stay."""
    instances = two_images()
    instances["annotations"][0].update(image_id=7, bbox=[1, 1, 2, 2])
    root = write_set(tmp_path, instances)
    (root / "images" / "one.png").unlink()
    got = merged(coco_set(root, limit=1), tmp_path / "out").instances
    assert [image["file_name"] for image in got["images"]] == ["b/two.png"]
    assert [a["id"] for a in got["annotations"]] == [3]


def test_coco_id_zero(tmp_path: Path) -> None:
    """COCOeval takes annotation id 0 for "no match": such a set is counted from 1."""
    instances = two_images()
    instances["annotations"][0]["id"] = 0
    got = merged(coco_set(write_set(tmp_path, instances)), tmp_path / "out").instances
    assert [a["id"] for a in got["annotations"]] == [1, 4]
    assert average_precision(got, "bbox", [[5, 5, 20, 20]]) == pytest.approx(1)
    assert average_precision(instances, "bbox", [[5, 5, 20, 20]]) == 0


def average_precision(instances: dict[str, Any], kind: str, boxes: list[list[int]]) -> float:
    """AP at IoU 0.5 of birds found in the picture 9, the first box with the lowest score."""
    index = coco_index({"info": {}, **instances})
    found = []
    for position, (x, y, w, h) in enumerate(boxes):
        mask = np.zeros((60, 80), np.uint8, order="F")
        mask[y : y + h, x : x + w] = 1
        shape = (
            {"bbox": [x, y, w, h]} if kind == "bbox" else {"segmentation": coco_mask.encode(mask)}
        )
        score = 0.5 + position / 10
        found.append({"image_id": 9, "category_id": 90, "score": score, **shape})
    with contextlib.redirect_stdout(io.StringIO()):
        run = COCOeval(index, index.loadRes(found), kind)
        run.evaluate()
        run.accumulate()
        run.summarize()
    return float(run.stats[1])


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_crowds_are_crowds(tmp_path: Path, kind: str) -> None:
    """What is found inside a crowd is no mistake; without the flag, or elsewhere, it is one."""
    boxes = [[5, 5, 20, 20], [45, 15, 8, 8], [60, 30, 10, 15]]
    instances = two_images()
    got = merged(coco_set(write_set(tmp_path, instances)), tmp_path / "out").instances
    assert average_precision(got, kind, boxes) == pytest.approx(1)
    assert average_precision(got, kind, [*boxes, [0, 40, 15, 15]]) < 0.6
    instances["annotations"][1]["iscrowd"] = 0
    plain = merged(coco_set(write_set(tmp_path, instances)), tmp_path / "out").instances
    assert average_precision(plain, kind, boxes) < 0.6


def test_masks_of_a_second_file(tmp_path: Path) -> None:
    """All annotations of an image come from one file: the second, where it lists the image."""
    masks = two_images()
    masks["images"] = [{**masks["images"][0], "id": 1000}]
    for annotation in masks["annotations"]:
        annotation.update(image_id=1000)
    boxes = two_images()
    boxes["annotations"] = [
        {"id": 1, "image_id": 9, "category_id": 13, "bbox": [1, 1, 5, 5], "area": 9, "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 13, "bbox": [2, 2, 5, 5], "area": 9, "iscrowd": 0},
    ]
    root = write_set(tmp_path, boxes)
    write_set(root, masks, "masks.json")
    dataset = coco_set(root, masks=str(root / "masks.json"))
    got = merged(dataset, tmp_path / "out").instances
    assert len(got["images"]) == 2
    assert [(a["id"], a["image_id"], "segmentation" in a) for a in got["annotations"]] == [
        (2, 7, False),
        (7, 9, True),
        (5, 9, True),
    ]
    check_instances(got, "merged")
    # A listed image without annotations is empty, whatever the first file says.
    masks["annotations"] = []
    write_set(root, masks, "masks.json")
    got = merged(dataset, tmp_path / "out").instances
    assert [a["image_id"] for a in got["annotations"]] == [7]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: m["images"][0].update(file_name="x.png"),
            r"masks.json lists x.png, .*instances",
        ),
        (lambda m: m["images"][1].update(width=31), r"one.png is 30x20 in .* and 31x20 in .*masks"),
        (
            lambda m: m["categories"][0].update(name="cow"),
            r"instances.json and .*masks.json differ",
        ),
        (lambda m: m["categories"].pop(), r"differ in category 13 \(boat\)"),
        (lambda m: m["annotations"][0].update(area=-1), r"masks.json: annotation 5: area"),
    ],
)
def test_second_files_that_do_not_fit(tmp_path: Path, change: Change, message: str) -> None:
    root = write_set(tmp_path, two_images())
    masks = two_images()
    change(masks)
    (root / "masks.json").write_text(json.dumps(masks))
    with pytest.raises(DatasetError, match=message):
        coco_set(root, masks=str(root / "masks.json")).image_ids()


def test_coco_sets_that_do_not_fit(tmp_path: Path) -> None:
    """Both sides stand in the message."""
    instances = two_images()
    root = write_set(tmp_path, instances)
    instances["images"][1].update(width=20, height=30)
    (root / "instances.json").write_text(json.dumps(instances))
    with pytest.raises(DatasetError, match=r"one\.png is 30x20, .*instances\.json says 20x30"):
        merged(coco_set(root), tmp_path / "out")
    (root / "images" / "one.png").unlink()
    with pytest.raises(DatasetError, match=r"instances\.json lists .* not in .*images: one\.png"):
        coco_set(root).image_ids()
    instances["images"][0]["file_name"] = "a/b.png"
    instances["images"][1]["file_name"] = "a+b.png"
    (root / "instances.json").write_text(json.dumps(instances))
    with pytest.raises(DatasetError, match=r"a/b\.png and a\+b\.png have the same id"):
        coco_set(root).image_ids()
    (root / "instances.json").write_text('{"images": [], "annotations": [], "categories": []}')
    with pytest.raises(DatasetError, match=r"instances\.json lists no image"):
        coco_set(root).image_ids()
    (root / "instances.json").unlink()
    with pytest.raises(DatasetError, match=r"instances\.json: cannot be read"):
        coco_set(root).image_ids()
    with pytest.raises(DatasetError, match=r"nowhere is not a directory"):
        coco_set(write_set(tmp_path, two_images()), path="nowhere").image_ids()


def touch(path: Path) -> None:
    os.utime(path, ns=(10**18, 10**18))


def test_coco_fingerprints(tmp_path: Path) -> None:
    """Another image changes its shard, another file of instances all, nothing nothing."""
    root = write_set(tmp_path, two_images())
    write_set(root, two_images(), "masks.json")
    options = {"masks": str(root / "masks.json")}

    def prints() -> list[str]:
        return [coco_set(root, **options).fingerprint([name]) for name in ("b+two.png", "one.png")]

    first = prints()
    assert prints() == first
    touch(root / "images" / "one.png")
    second = prints()
    assert [a == b for a, b in zip(first, second, strict=True)] == [True, False]
    for name in ("instances.json", "masks.json"):
        touch(root / name)
        third = prints()
        assert not set(second) & set(third)
        second = third


def test_changed_instances_are_read_again(tmp_path: Path) -> None:
    """The file is kept in memory by its state, not by its name."""
    instances = two_images()
    dataset = coco_set(write_set(tmp_path, instances))
    assert len(dataset.image_ids()) == 2
    instances["images"].pop()
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    assert dataset.image_ids() == ["b+two.png"]


# Semantic maps.


def semantic_set(root: Path, **options: Any) -> Dataset:
    paths = {"path": str(root / "images"), "maps": str(root / "maps")}
    entry = {"type": "semantic", **paths, "classes": ["sky", "road", "car"], "ignore": 9, **options}
    return make_dataset("town", entry, root / "downloads")


def write_town(root: Path) -> np.ndarray:
    """Two images with maps: one grey, one of a 4-bit palette whose colours are not the indices."""
    values = np.array([[0, 1, 2, 9], [2, 2, 1, 0], [9, 9, 9, 9]], np.uint8)
    write_png(root / "images" / "a.b.png", make_picture(3, 4))
    (root / "images" / "sub").mkdir()
    (root / "maps" / "sub").mkdir(parents=True)
    Image.fromarray(make_picture(3, 4)).save(root / "images" / "sub" / "c.jpg")
    Image.fromarray(values).save(root / "maps" / "a.b.png")
    picture = Image.fromarray(values, "P")
    picture.putpalette(bytes(range(200, 248)))
    picture.save(root / "maps" / "sub" / "c.png", bits=4)
    return values


def test_semantic(tmp_path: Path) -> None:
    values = write_town(tmp_path)
    dataset = semantic_set(tmp_path)
    assert dataset.image_ids() == ["a.b.png", "sub+c.jpg"]
    got = merged(dataset, tmp_path / "out", shards=2)
    assert (got.classes, got.ignore, got.instances) == (["sky", "road", "car"], 9, {})
    assert list(got.semantic) == dataset.image_ids()
    assert (tmp_path / "maps" / "sub" / "c.png").read_bytes()[24:26] == b"\x04\x03"
    for path in got.semantic.values():
        assert path.is_absolute()
        assert np.array_equal(np.asarray(Image.open(path)), values)
    (tmp_path / "images" / "a.b.png").write_bytes(b"broken")
    assert list(merged(dataset, tmp_path / "out").semantic) == ["sub+c.jpg"]


def test_semantic_fingerprints(tmp_path: Path) -> None:
    write_town(tmp_path)

    def prints() -> list[str]:
        return [semantic_set(tmp_path).fingerprint([name]) for name in ("a.b.png", "sub+c.jpg")]

    for name in ("images/sub/c.jpg", "maps/sub/c.png"):
        before = prints()
        assert prints() == before
        touch(tmp_path / name)
        assert [a == b for a, b in zip(before, prints(), strict=True)] == [True, False]


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (Image.new("RGB", (4, 3)), "is 8-bit RGB, not"),
        (Image.new("RGBA", (4, 3)), "is 8-bit RGBA, not"),
        (Image.new("LA", (4, 3)), "is 8-bit grey with alpha, not"),
        (Image.new("I;16", (4, 3)), "is 16-bit grey, not"),
        (Image.new("1", (4, 3)), "is 1-bit grey, not"),
        (Image.new("L", (3, 4)), "is 3x4, the image 4x3"),
        (Image.new("L", (4, 3), 3), r"holds 3, neither one of the 3 classes \(0 to 2\) nor ignore"),
        (Image.new("L", (4, 3), 255), "holds 255, neither"),
        (b"GIF89a", "is not a PNG"),
        (b"", "is not a PNG"),
    ],
)
def test_maps_that_are_none(tmp_path: Path, picture: Image.Image | bytes, message: str) -> None:
    write_town(tmp_path)
    target = tmp_path / "maps" / "sub" / "c.png"
    if isinstance(picture, bytes):
        target.write_bytes(picture)
    else:
        picture.save(target)
    both = r"maps/sub/c\.png, the map of .*images/sub/c\.jpg, "
    with pytest.raises(DatasetError, match=both + message):
        merged(semantic_set(tmp_path), tmp_path / "out")


def test_damaged_and_missing_maps(tmp_path: Path) -> None:
    write_town(tmp_path)
    target = tmp_path / "maps" / "a.b.png"
    target.write_bytes(target.read_bytes()[:-26])
    with pytest.raises(DatasetError, match=r"a\.b\.png, the map of .*, is damaged"):
        merged(semantic_set(tmp_path), tmp_path / "out")
    target.unlink()
    with pytest.raises(DatasetError, match=r"images/a\.b\.png has no map: no file .*maps/a\.b"):
        semantic_set(tmp_path).image_ids()
    with pytest.raises(DatasetError, match="nowhere is not a directory"):
        semantic_set(tmp_path, maps="nowhere").image_ids()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ["sky", 3]}, "classes: 3 is not a name"),
        ({"classes": ["sky", "sky"]}, "'sky' stands there twice"),
        ({"classes": []}, "0 of them"),
        ({"classes": "classes.txt"}, "not of type list"),
        ({"ignore": 2}, "ignore=2 must not be one of the 3 classes"),
        ({"ignore": 256}, "must fit 8 bits"),
        ({"ignore": -1}, "below 0"),
    ],
)
def test_wrong_semantic_entries(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        semantic_set(tmp_path, **options)


# The configurations that name such sets.


def fill_coco(data: Path) -> None:
    instances = two_images()
    instances["images"][0]["file_name"] = "000000000139.jpg"
    write_set(data / "coco", instances, "ignored.json")
    (data / "coco" / "images").rename(data / "coco" / "val2017")
    (data / "coco" / "annotations").mkdir()
    text = json.dumps(instances)
    (data / "coco" / "annotations" / "instances_val2017.json").write_text(text)


def fill_camvid(data: Path) -> None:
    for folder in ("test", "testannot"):
        write_png(data / "camvid" / folder / "0001TP_008550.png", make_picture(9, 9))


def fill_helen(data: Path) -> None:
    write_png(data / "helen" / "a.png", make_picture(9, 9))
    (data / "helen" / "landmarks68.json").write_text(json.dumps({"a.png": [[1, 2]] * 68}))


def fill_faces(data: Path) -> None:
    write_png(data / "faces" / "a.png", make_picture(9, 9))
    points = "1 2\n" * 68
    (data / "faces" / "a.pts").write_text(f"version: 1\nn_points: 68\n{{\n{points}}}\n")


@pytest.mark.parametrize("fill", [fill_coco, fill_camvid, fill_helen, fill_faces])
def test_configurations(
    fill: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With data where its head says, a configuration is valid as it stands, every option of it."""
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "data")
    name = fill.__name__.removeprefix("fill_")
    config = yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text())
    (tmp_path / "weights").mkdir()
    for entry in config["tasks"].values():
        for key in {"model", "checkpoint"} & set(entry):
            if entry[key] in shipped_sources():
                place_weights(tmp_path / "downloads", [entry[key]])
            else:
                (tmp_path / entry[key]).touch()
    run = make_run(config)
    assert run.datasets[name].annotated
    assert run.datasets[name].image_ids()
    for task in run.tasks:
        assert run.config["tasks"][task]["datasets"] == [name]
    for family in run.codecs.values():
        full = [p for p in family.points if dict(p.encode).get("scale", 1.0) == 1.0]
        # The bundled model of diff-icmh has four rates, each with and without diffusion.
        assert family.name == "identity" or len(full) >= 5
    learned = {"mpd", "diff-icmh"} | ({"mpd-features"} if name != "faces" else set())
    assert {"identity", "jpeg", "webp", "avif"} | learned == set(run.codecs)


# The samples beside the project.


@real_data
@pytest.mark.parametrize(
    ("split", "file", "images", "annotations"),
    [
        ("val2017", "boxes", 127, 897),
        ("val2017", "masks", 99, 711),
        ("train2017", "boxes", 126, 929),
        ("train2017", "masks", 98, 746),
    ],
)
def test_coco_samples(split: str, file: str, images: int, annotations: int) -> None:
    root = REAL / "coco"
    path = root / "annotations" / f"{file}_{split}.json"
    entry = {"type": "coco", "path": str(root / split), "annotations": str(path)}
    assert len(make_dataset("coco", entry, root).image_ids()) == images
    assert len(read_instances(path)["annotations"]) == annotations


@real_data
def test_coco_val_sample_as_the_workflow_reads_it(tmp_path: Path) -> None:
    root = REAL / "coco"
    notes = {
        name: str(root / "annotations" / f"{name}_val2017.json") for name in ("boxes", "masks")
    }
    entry = {"path": str(root / "val2017"), "annotations": notes["boxes"], "masks": notes["masks"]}
    dataset = make_dataset("coco", {"type": "coco", **entry}, tmp_path)
    got = merged(dataset, tmp_path / "out").instances
    assert (len(got["images"]), len(got["annotations"])) == (127, 900)
    masks = read_instances(Path(notes["masks"]))
    assert sum("segmentation" in a for a in got["annotations"]) == len(masks["annotations"])
    assert sum(a["iscrowd"] for a in got["annotations"]) == 5
    check_instances(got, "merged")
    index = coco_index(got)
    for annotation in got["annotations"]:
        if "segmentation" in annotation:
            assert index.annToMask(annotation).sum() == annotation["area"]


@real_data
def test_camvid_sample(tmp_path: Path) -> None:
    root = REAL / "camvid59"
    lines = (root / "classes.txt").read_text().split()
    paths = {"path": str(root / "images"), "maps": str(root / "labels")}
    entry = {"type": "semantic", **paths, "classes": lines[1:22:2], "ignore": 11}
    got = merged(make_dataset("camvid", entry, tmp_path), tmp_path / "out")
    assert len(got.semantic) == 59
    assert (got.classes[0], got.classes[-1], len(got.classes)) == ("Sky", "Bicyclist", 11)
    with pytest.raises(DatasetError, match="holds 11, neither one of the 11 classes"):
        merged(make_dataset("camvid", {**entry, "ignore": 255}, tmp_path), tmp_path / "out")


def test_faces_without_points_have_a_box(tmp_path: Path) -> None:
    """`reference: originals` reads no points and gives every image one face, in its own pixels."""
    for name, height, width in (("a", 80, 100), ("b", 64, 64)):
        write_png(tmp_path / f"{name}.png", make_picture(height, width, 3))
    (tmp_path / "broken.jpg").write_bytes(b"broken")
    turned = Image.fromarray(make_picture(30, 40))
    turned.getexif()[0x112] = 6
    turned.save(tmp_path / "turned.jpg", exif=turned.getexif())
    entry = {"path": str(tmp_path), "reference": "originals", "face": [0.1, 0.25, 0.8, 0.5]}
    data = make_dataset("faces", {"type": "landmarks", **entry}, tmp_path)
    records = data.provide(data.image_ids(), tmp_path / "out")
    assert [record.status == "ok" for record in records] == [True, True, False, True]
    found = merged(data, tmp_path / "out").landmarks
    assert found["a.png"] == [{"bbox": [10, 20, 80, 40]}]
    assert found["b.png"] == [{"bbox": pytest.approx([6.4, 16, 51.2, 32])}]
    assert found["turned.jpg"] == [{"bbox": pytest.approx([3, 10, 24, 20])}]  # read as 30x40
    assert "broken.jpg" not in found  # a row of the manifest; a box of no size ends a task's job
    for wrong, words in (
        ({"reference": "mine"}, "neither annotated nor originals"),
        ({"landmarks": "x.json"}, "landmarks are given"),
        ({"face": [0.5, 0.1, 0.6, 0.5]}, "not x, y, width, height"),
        ({"face": [0, 0, 0, 1]}, "not x, y, width, height"),
    ):
        with pytest.raises(ConfigError, match=words):
            make_dataset("faces", {"type": "landmarks", **entry, **wrong}, tmp_path)
    data = make_dataset("faces", {"type": "landmarks", "path": str(tmp_path)}, tmp_path)
    with pytest.raises(DatasetError, match="no points"):  # never by accident
        data.provide(data.image_ids(), tmp_path / "out")
