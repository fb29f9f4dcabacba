"""ADE20K, Cityscapes and WFLW, small, in the folders and files of their publications."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from icmbench.core.errors import ConfigError, DatasetError, TaskError
from icmbench.core.fetch_command import FETCHED
from icmbench.datasets.base import Annotations, Dataset
from icmbench.datasets.registry import make_dataset
from icmbench.datasets.wflw import IN_300W
from icmbench.tasks.metrics.landmark_metrics import LandmarkEvaluator
from icmbench.tasks.metrics.segmentation_metrics import SegmentationEvaluator

SIZE = (12, 20)
RNG = np.random.default_rng(0)


def picture() -> np.ndarray:
    return RNG.integers(0, 256, (*SIZE, 3), np.uint8)


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(values).save(path)


def provided(kind: str, folder: Path, **entry: Any) -> tuple[Dataset, Annotations]:
    dataset = make_dataset("x", {"type": kind, **entry}, folder)
    out = folder / "out"
    out.mkdir(exist_ok=True)
    records = dataset.provide(dataset.image_ids(), out)
    assert {record.status for record in records} == {"ok"}
    split = "train" if entry.get("split") == "train" else "test"
    assert {record.split for record in records} == {split}
    return dataset, dataset.merge_annotations({record.image: out for record in records})


@pytest.fixture
def ade20k(tmp_path: Path) -> Path:
    """Two images of validation and one of training: values 0 to 150, names with synonyms."""
    root = tmp_path / "ade20k" / "ADEChallengeData2016"
    for split, names in (("validation", ("val_00000001", "val_00000002")), ("training", ("t_1",))):
        for name in names:
            save(root / "images" / split / f"ADE_{name}.jpg", picture())
            values = RNG.integers(0, 151, SIZE, np.uint8)
            save(root / "annotations" / split / f"ADE_{name}.png", values)
    lines = ["Idx\tRatio\tTrain\tVal\tStuff\tName"]
    lines += [f"{n}\t0.1\t9\t9\t0\tclass {n} , other {n}, more" for n in range(1, 151)]
    (root / "objectInfo150.txt").write_text("\n".join(lines) + "\n")
    (root.parent / FETCHED).write_text("{}")
    return tmp_path


def test_ade20k_counts_its_classes_from_one(ade20k: Path) -> None:
    dataset, found = provided("ade20k", ade20k)
    assert dataset.image_ids() == ["ADE_val_00000001.jpg", "ADE_val_00000002.jpg"]
    assert found.classes == [f"class {n}" for n in range(1, 151)]
    root = ade20k / "ade20k" / "ADEChallengeData2016"
    for name, path in found.semantic.items():
        published = root / "annotations" / "validation" / name.replace("jpg", "png")
        values = np.asarray(PillowImage.open(published)).astype(int)
        ours = np.asarray(PillowImage.open(path))
        assert np.array_equal(ours, np.where(values == 0, 255, values - 1))
    # The evaluator takes them: a prediction of the truth is perfect, pixels of value 0 or not.
    judge = SegmentationEvaluator(
        sorted(found.semantic), found.semantic, found.classes, found.ignore
    )
    right = {n: np.asarray(PillowImage.open(p)) % 150 for n, p in found.semantic.items()}
    values = judge.values(judge.count(right), np.ones((1, 2), np.int64))
    assert values["miou"] == 1
    assert values["aacc"] == 1
    train, _ = provided("ade20k", ade20k, split="train")
    assert train.image_ids() == ["ADE_t_1.jpg"]
    local, again = provided("ade20k", ade20k, path=str(root / "images" / "validation"))
    assert local.sources() == ()
    assert again.classes == found.classes


def test_ade20k_names_what_is_wrong(ade20k: Path) -> None:
    root = ade20k / "ade20k" / "ADEChallengeData2016"
    path = root / "annotations" / "validation" / "ADE_val_00000001.png"
    for values, message in (
        (np.full(SIZE, 151, np.uint8), "holds 151"),
        (np.zeros((3, 3), np.uint8), "is 3x3, the image 20x12"),
    ):
        save(path, values)
        with pytest.raises(DatasetError, match=rf"ADE_val_00000001\.png, the map of .*{message}"):
            provided("ade20k", ade20k)
    path.unlink()
    with pytest.raises(DatasetError, match=r"has no map: no file .*ADE_val_00000001\.png"):
        provided("ade20k", ade20k)
    save(path, np.zeros(SIZE, np.uint8))
    info = root / "objectInfo150.txt"
    info.write_text("".join(info.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DatasetError, match=r"objectInfo150\.txt: 149 classes, expected 150"):
        provided("ade20k", ade20k)
    save(ade20k / "loose" / "a.png", picture())
    with pytest.raises(DatasetError, match="is in no folder 'images'"):
        provided("ade20k", ade20k, path=str(ade20k / "loose"))


def test_cityscapes_has_its_19_classes(tmp_path: Path) -> None:
    """Values of `labelIds` become the ids of training, which mmseg's models give."""
    root = tmp_path / "cityscapes"
    ids = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    values = np.zeros(SIZE, np.uint8)
    values.flat[: len(ids)] = ids
    values.flat[30:33] = (255, 4, 30)  # a licence plate, which is -1; static; trailer
    for split, city in (("val", "ulm"), ("train", "aachen"), ("test", "bonn")):
        stem = f"{city}/{city}_000000_000019"
        save(root / "leftImg8bit" / split / f"{stem}_leftImg8bit.png", picture())
        if split != "test":
            save(root / "gtFine" / split / f"{stem}_gtFine_labelIds.png", values)
            save(root / "gtFine" / split / f"{stem}_gtFine_instanceIds.png", values)
    (root / FETCHED).write_text("{}")
    dataset, found = provided("cityscapes", tmp_path)
    (name,) = dataset.image_ids()
    assert name == "ulm+ulm_000000_000019_leftImg8bit.png"
    assert (found.classes[0], found.classes[-1]) == ("road", "bicycle")
    ours = np.asarray(PillowImage.open(found.semantic[name]))
    assert ours.flat[:19].tolist() == list(range(19))
    assert set(ours.flat[19:]) == {255}
    train, _ = provided("cityscapes", tmp_path, split="train")
    assert train.image_ids() == ["aachen+aachen_000000_000019_leftImg8bit.png"]


def test_the_classes_are_those_of_the_library() -> None:
    from icmbench.datasets.published_maps import CITYSCAPES
    from icmbench.tasks.backends import openmm

    openmm.import_library("mmseg")
    for config, names in (
        ("pspnet_r18-d8_4xb2-80k_cityscapes-512x1024", tuple(CITYSCAPES.values())),
        ("segformer_mit-b0_8xb2-160k_ade20k-512x512", None),
    ):
        known = openmm.dataset_classes("mmseg", openmm.read_config("mmseg", config, {}))
        assert known == (names or known)
        assert len(known) == (19 if names else 150)
        assert all(name == name.strip() for name in known)


def wflw_line(points: np.ndarray, name: str) -> str:
    numbers = [f"{value:.6f}" for value in points.ravel()]
    return " ".join([*numbers, "1", "2", "9", "9", "0", "1", "0", "0", "0", "0", name])


@pytest.fixture
def wflw(tmp_path: Path) -> Path:
    """Two faces in one image of test, one in an image of train."""
    root = tmp_path / "wflw"
    lists = root / "WFLW_annotations" / "list_98pt_rect_attr_train_test"
    lists.mkdir(parents=True)
    points = RNG.uniform(0, 11, (3, 98, 2))
    names = ("0--Parade/a_b_1.jpg", "0--Parade/a_b_1.jpg", "1--Car/c.jpg")
    for name in names:
        save(root / "WFLW_images" / name, picture())
    rows = [wflw_line(face, name) for face, name in zip(points, names, strict=True)]
    (lists / "list_98pt_rect_attr_test.txt").write_text("\n".join(rows[:2]) + "\n")
    (lists / "list_98pt_rect_attr_train.txt").write_text(rows[2] + "\n")
    (root / FETCHED).write_text("{}")
    np.save(tmp_path / "points.npy", np.round(points, 6))
    return tmp_path


def test_wflw_has_98_points_a_face(wflw: Path) -> None:
    points = np.load(wflw / "points.npy")
    dataset, found = provided("wflw", wflw)
    assert dataset.image_ids() == ["0--Parade+a_b_1.jpg"]
    faces = found.landmarks["0--Parade+a_b_1.jpg"]
    assert np.allclose([face["landmarks"] for face in faces], points[:2] + 0.5)
    low = points[0].min(axis=0)
    assert np.allclose(faces[0]["bbox"], [*(low + 0.5), *(points[0].max(axis=0) - low)])
    train, _ = provided("wflw", wflw, split="train")
    assert train.image_ids() == ["1--Car+c.jpg"]
    # NME by the outer eye corners of the 98, and a face fails above 0.10 as WFLW's do.
    truth = json.loads(json.dumps(found.landmarks))
    judge = LandmarkEvaluator([*truth], truth)
    eyes = np.linalg.norm(points[:2, 60] - points[:2, 72], axis=1)
    moved = points[:2] + 0.5 + np.array([0.09, 0.11])[:, None, None] * eyes[:, None, None] * [1, 0]
    values = judge.values(judge.count(dict.fromkeys(truth, moved)), np.ones((1, 1), np.int64))
    assert values["nme"][0] == pytest.approx(0.1)
    assert values["failure_rate"][0] == 0.5
    with pytest.raises(TaskError, match=r"\(2, 68, 2\), expected \(2, 98, 2\)"):
        judge.count(dict.fromkeys(truth, moved[:, :68]))


def test_68_of_the_98_points_are_those_of_300w(wflw: Path) -> None:
    """On a face whose parts lie apart: each of the 68 is in the part that its index says."""
    assert len(set(IN_300W)) == 68
    parts98 = {"jaw": (0, 33), "brows": (33, 51), "nose": (51, 60), "right eye": (60, 68),
               "left eye": (68, 76), "mouth": (76, 96)}  # fmt: skip
    parts68 = {"jaw": (0, 17), "brows": (17, 27), "nose": (27, 36), "right eye": (36, 42),
               "left eye": (42, 48), "mouth": (48, 68)}  # fmt: skip
    for part, (first, end) in parts68.items():
        assert {*IN_300W[first:end]} <= {*range(*parts98[part])}
    assert (IN_300W[0], IN_300W[8], IN_300W[16]) == (0, 16, 32)  # ends of the jaw and the chin
    assert (IN_300W[36], IN_300W[45]) == (60, 72)  # outer eye corners
    assert (IN_300W[39], IN_300W[42]) == (64, 68)  # inner ones
    _, found = provided("wflw", wflw, points=68)
    points = np.load(wflw / "points.npy")
    faces = found.landmarks["0--Parade+a_b_1.jpg"]
    assert np.allclose(faces[1]["landmarks"], points[1][list(IN_300W)] + 0.5)
    with pytest.raises(ConfigError, match="points: 70 is neither 98 nor 68"):
        make_dataset("x", {"type": "wflw", "points": 70}, wflw)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 2 3 a.jpg", "line 3 has 4 words, expected 207"),
        (wflw_line(np.full((98, 2), np.nan), "a.jpg"), "line 3: a point is far from any image"),
        (wflw_line(np.ones((98, 2)), "../a.jpg"), "line 3: name of the image: '../a.jpg' leads"),
        (wflw_line(np.ones((98, 2)), "no.jpg"), r"lists images that are not there: .*no\.jpg"),
        ("x" + wflw_line(np.ones((98, 2)), "a.jpg"), "line 3: not pairs of numbers"),
    ],
)
def test_wflw_names_what_is_wrong(wflw: Path, line: str, message: str) -> None:
    path = next(wflw.rglob("list_98pt_rect_attr_test.txt"))
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DatasetError, match=rf"list_98pt_rect_attr_test\.txt:? ?{message}"):
        provided("wflw", wflw)
