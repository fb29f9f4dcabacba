"""Training data: the training sets of `training.data`, none of which may hold test images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icmbench.core.errors import ConfigError, DatasetError
from icmbench.datasets.base import Dataset
from icmbench.datasets.records import Record
from icmbench.datasets.registry import make_dataset

TEST_ONLY = ("kodak", "photos", "text", "codes")  # the last two are rendered on `photos`

OF_TRAINING = ("tags", "use", "class_tags")  # keys of an entry that are none of a data set


def make_training_set(
    name: str,
    entry: Mapping[str, Any],
    downloads: Path,
    results: Path | None = None,
    sources: Path | str | None = None,
) -> Dataset:
    """The training set of an entry, which is one of a data set; scenes have no test split here.

    Raises ConfigError for data sets that are for testing only, and for scenes of another split.
    """
    where, kind = f"training.data.{name}", entry.get("type", name)
    entry = {key: value for key, value in entry.items() if key not in OF_TRAINING}
    if kind in TEST_ONLY:
        raise ConfigError(f"{where}: {kind} is for testing only, nothing is trained on it")
    if kind != "scenes":
        found = make_dataset(name, entry, downloads, results, sources)
        _check_split(where, found)
        return found
    found = make_dataset(name, {"test": 0, **entry}, downloads, results, sources)
    for split in ("test", "val"):
        if found.values[split]:
            raise ConfigError(f"{where}: {split}={found.values[split]}: train is for training")
    if not found.values["train"]:
        raise ConfigError(f"{where}: train is 0: no scene to train on")
    return found


def _check_split(where: str, dataset: Dataset) -> None:
    """ConfigError for a split that is for testing, and for a folder or file of COCO's val2017."""
    if "split" in dataset.options:
        split = getattr(dataset, "split", None) or dataset.values["split"]
        if split != "train":
            known = "train" in dataset.options["split"].help
            hint = "set split: train" if known else "it has no split train"
            raise ConfigError(
                f"{where}: the split {split} of {dataset.kind} is for testing only; {hint}"
            )
    for key in ("path", "annotations"):
        value = dataset.values.get(key)
        if value and any("val2017" in part for part in Path(value).expanduser().absolute().parts):
            raise ConfigError(f"{where}: {key}: {value}: COCO val2017 is for testing only")


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
            if _other_split(ours, dataset):
                continue
            if ours.values.get("path") or dataset.values.get("path"):
                one, two = _folder(ours), _folder(dataset)
                if one and two and _overlap(one, two):
                    raise ConfigError(f"{text} images: {one}, {two}")
            same = ours.kind == dataset.kind and ("split" in ours.options or not _local(ours))
            same = same and ours.values.get("seed") == dataset.values.get("seed")
            if same and split == "train":
                raise ConfigError(f"{text}: both are the split train")


def _other_split(one: Dataset, other: Dataset) -> bool:
    """True for different splits of one published set, which may lie in one folder."""
    same = one.kind == other.kind and "split" in one.options
    return same and one.values["split"] != other.values["split"]


def _local(dataset: Dataset) -> bool:
    """True if a data set is a folder that its entry names."""
    return bool(dataset.values.get("path"))


def _folder(dataset: Dataset) -> Path | None:
    """The folder of the images of a data set, given or fetched; None: a run makes them."""
    if "path" not in dataset.values:
        return None
    if given := dataset.values["path"]:
        return Path(given).expanduser().resolve()
    source = next(iter(dataset.sources()), dataset.name)
    return (dataset.all_downloads / source).resolve()


def _overlap(one: Path, other: Path) -> bool:
    return one == other or one in other.parents or other in one.parents


def training_records(source: Dataset, records: list[Record]) -> list[Record]:
    """The records of a training set that are trained on: the split train, or all where none is.

    Raises DatasetError where the set has splits and none of them is train.
    """
    if not source.splits:
        return records
    train = [record for record in records if record.split == "train"]
    if not train:
        found = ", ".join(sorted({record.split for record in records})) or "none"
        raise DatasetError(
            f"training.data.{source.name}: no image is of the split train (splits: {found}); all "
            "images of a folder are trained on: give the set the type folder"
        )
    return train
