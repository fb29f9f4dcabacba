"""Training data: the training sets of `training.data`, none of which may hold test images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icmbench.core.errors import ConfigError
from icmbench.datasets.base import Dataset, Record
from icmbench.datasets.registry import make_dataset

TEST_ONLY = ("kodak", "photos")


def make_training_set(
    name: str, entry: Mapping[str, Any], downloads: Path, results: Path | None = None
) -> Dataset:
    """The training set of an entry, which is one of a data set; scenes have no test split here.

    Raises ConfigError for data sets that are for testing only, and for scenes of another split.
    """
    where, kind = f"training.data.{name}", entry.get("type", name)
    entry = {key: value for key, value in entry.items() if key != "tags"}
    if kind in TEST_ONLY:
        raise ConfigError(f"{where}: {kind} is for testing only, nothing is trained on it")
    if kind != "scenes":
        return make_dataset(name, entry, downloads, results)
    found = make_dataset(name, {"test": 0, **entry}, downloads, results)
    for split in ("test", "val"):
        if found.values[split]:
            raise ConfigError(f"{where}: {split}={found.values[split]}: train is for training")
    if not found.values["train"]:
        raise ConfigError(f"{where}: train is 0: no scene to train on")
    return found


def check_training_data(
    data: Mapping[str, Dataset], coded: Mapping[str, Dataset], split: str
) -> None:
    """ConfigError where an image that is coded in this run (`coded`, its `split`) is trained on.

    The same scenes or split of a data set, or a folder that is, holds or lies in that of a coded
    one. Copies of images are found by their pixels when the images are read (`training.data`).
    """
    for name, ours in data.items():
        for other, dataset in coded.items():
            text = f"training.data.{name} and the data set {other!r} that is coded are the same"
            if ours.values.get("path") or dataset.values.get("path"):
                one, two = _folder(ours), _folder(dataset)
                if one and two and _overlap(one, two):
                    raise ConfigError(f"{text} images: {one}, {two}")
            same = ours.kind == dataset.kind != "folder"
            same = same and ours.values.get("seed") == dataset.values.get("seed")
            if same and split == "train":
                raise ConfigError(f"{text}: both are the split train")


def _folder(dataset: Dataset) -> Path | None:
    """The folder of the images of a data set, given or of its downloads; None: a run makes them."""
    if "path" not in dataset.values:
        return None
    given = dataset.values["path"]
    return (Path(given).expanduser() if given else dataset.downloads).resolve()


def _overlap(one: Path, other: Path) -> bool:
    return one == other or one in other.parents or other in one.parents


def training_records(source: Dataset, records: list[Record]) -> list[Record]:
    """The records of a training set that are trained on: a folder's all, else the split train."""
    if source.kind == "folder":
        return records
    return [record for record in records if record.split == "train"]
