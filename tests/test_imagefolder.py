"""Photographs with a class each: by folders, by a list, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import make_picture

from icmbench.core.errors import ConfigError, DatasetError
from icmbench.core.images.image_files import write_png
from icmbench.datasets.base import Annotations, Dataset
from icmbench.datasets.registry import make_dataset
from icmbench.tasks.evaluate import Truth


def imagefolder(root: Path, **options: Any) -> Dataset:
    return make_dataset("mine", {"type": "imagefolder", "path": str(root), **options}, root.parent)


def pictures(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, make_picture(20, 24, number))
    return root


def merged(dataset: Dataset, out: Path) -> Annotations:
    out.mkdir(exist_ok=True)
    records = dataset.provide(dataset.image_ids(), out)
    assert all(record.status == "ok" for record in records)
    return dataset.merge_annotations(dict.fromkeys(dataset.image_ids(), out))


def test_a_folder_is_a_class(tmp_path: Path) -> None:
    root = pictures(tmp_path / "set", "tabby/a.png", "tabby/deep/b.png", "goldfish/a.png")
    dataset = imagefolder(root)
    assert dataset.image_ids() == ["goldfish+a.png", "tabby+a.png", "tabby+deep+b.png"]
    assert dataset.annotated
    found = merged(dataset, tmp_path / "out").more["class_scores"]
    assert found == {
        "classes": ["goldfish", "tabby"],
        "labels": {"goldfish+a.png": 0, "tabby+a.png": 1, "tabby+deep+b.png": 1},
    }
    truth = Truth(more=json.loads(json.dumps({"class_scores": found})))
    assert truth.labels("mine").image_classes == ("goldfish", "tabby")
    assert truth.labels("mine").image_indices(["tabby", "tench", "goldfish"], "t") == [2, 0]
    limited = merged(imagefolder(root, limit=1), tmp_path / "one").more["class_scores"]
    assert limited == {"classes": ["goldfish"], "labels": {"goldfish+a.png": 0}}


def test_names_are_mapped(tmp_path: Path) -> None:
    root = pictures(tmp_path / "set", "cats/a.png", "dogs/a.png", "tench/a.png")
    mapped = imagefolder(root, classes={"cats": 281, "dogs": "beagle"})
    found = merged(mapped, tmp_path / "out").more["class_scores"]
    assert found["classes"] == [281, "beagle", "tench"]
    assert found["labels"] == {"cats+a.png": 0, "dogs+a.png": 1, "tench+a.png": 2}
    with pytest.raises(DatasetError, match="classes: no image is of the class 'birds'"):
        imagefolder(root, classes={"birds": 7}).image_ids()
    for wrong in ({"cats": 1.5}, {3: "a"}, {"cats": True}):
        with pytest.raises(ConfigError, match="is not a name and the name or index of a class"):
            imagefolder(root, classes=wrong)


def test_a_thousand_wnids_are_imagenets_classes(tmp_path: Path) -> None:
    root = tmp_path / "val"
    image = pictures(tmp_path, "x.png") / "x.png"
    wnids = sorted(f"n{number * 7919 % 10**8:08d}" for number in range(1, 1001))
    for wnid in wnids:
        (root / wnid).mkdir(parents=True)
        (root / wnid / "v.png").hardlink_to(image)
    classes = imagefolder(root)._classes()  # type: ignore[attr-defined]
    assert classes == {f"{wnid}+v.png": index for index, wnid in enumerate(wnids)}
    (root / wnids[3] / "v.png").unlink()
    few = imagefolder(root)._classes()  # type: ignore[attr-defined]
    assert few[f"{wnids[0]}+v.png"] == wnids[0]  # of fewer the positions say nothing


@pytest.mark.parametrize(
    ("rows", "classes"),
    [
        ("image,class_index,wnid\nb/x.png,7,n1\na.png,3,n2\n", [3, 7]),
        ("image,class_name\nb/x.png,tabby\na.png,tabby\n", ["tabby"]),
        ("\ufeffclass_name,image\r\ntabby,b/x.png\r\n\"tabby, cat\",a.png\r\n",
         ["tabby", "tabby, cat"]),
    ],
)  # fmt: skip
def test_a_list_of_labels(tmp_path: Path, rows: str, classes: list[str | int]) -> None:
    root = pictures(tmp_path / "set", "a.png", "b/x.png")
    path = tmp_path / "labels.csv"
    path.write_text(rows, encoding="utf-8", newline="")
    dataset = imagefolder(root, labels=str(path))
    found = merged(dataset, tmp_path / "out").more["class_scores"]
    assert found["classes"] == classes
    assert [*found["labels"]] == ["a.png", "b+x.png"]
    before = dataset.fingerprint(["a.png"])
    path.write_text(rows + "\n", encoding="utf-8")
    assert dataset.fingerprint(["a.png"]) != before


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("image,class_index\na.png,3\n", r"labels\.csv: no row for b\+x\.png \(1 of 2 images\)"),
        ("image,class_index\na.png,3\nb/x.png,1\nc.png,2\n",
         r"labels\.csv: c\.png is no image of the folder \(1 of 3 rows\)"),
        ("file,class_index\na.png,3\n", r"labels\.csv: not a list of labels: .* columns image and"),
        ("image,label\na.png,3\n", "columns image and class_index or class_name"),
        ("", "not a list of labels"),
        ("image,class_index\n", r"labels\.csv: holds no label"),
        ("image,class_index\na.png,x\n", r"labels\.csv: line 2: class_index='x' is no index"),
        ("image,class_index\na.png,-1\n", "class_index='-1' is no index"),
        ("image,class_index\na.png\n", "line 2: image or class_index is empty"),
        ("image,class_name\n,tabby\n", "line 2: image or class_name is empty"),
        ("image,class_index\na.png,3\na.png,4\n", r"line 3: a\.png has a row already"),
    ],
)  # fmt: skip
def test_wrong_lists(tmp_path: Path, rows: str, message: str) -> None:
    root = pictures(tmp_path / "set", "a.png", "b/x.png")
    path = tmp_path / "labels.csv"
    path.write_text(rows, encoding="utf-8")
    with pytest.raises(DatasetError, match=message):
        imagefolder(root, labels=str(path)).image_ids()


def test_an_image_beside_the_folders_has_no_class(tmp_path: Path) -> None:
    root = pictures(tmp_path / "set", "tabby/a.png", "b.png")
    with pytest.raises(DatasetError, match=r"b\.png has no class: it lies in no folder of .*; put"):
        imagefolder(root).image_ids()
    with pytest.raises(DatasetError, match=r"none\.csv: cannot be read"):
        imagefolder(root, labels=str(tmp_path / "none.csv")).image_ids()
