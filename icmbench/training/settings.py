"""The training section of a configuration: what is trained, and on which images it may be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icmbench.datasets.base import Dataset, Record
from icmbench.datasets.registry import make_dataset
from icmbench.errors import ConfigError

# What is trained and how its amount is called, in the order of training: each uses those before.
AMOUNTS = {"autoencoder": "steps", "contexts": "images", "reverse": "steps"}
NETWORKS = ("autoencoder", "reverse")  # those with a history of losses
TEST_ONLY = ("kodak", "photos")


def trained_parts(training: Mapping[str, Any]) -> list[str]:
    """The parts of the model that are trained here; the others are the bundled ones.

    Raises ConfigError where training from scratch leaves one out, or where the autoencoder is
    trained and what was made for the latent of the bundled one is not.
    """
    amounts = {part: training[part][key] for part, key in AMOUNTS.items()}
    trained = [part for part, amount in amounts.items() if amount]
    untrained = [part for part, amount in amounts.items() if not amount]
    names = ", ".join(f"{part}.{AMOUNTS[part]}" for part in untrained)
    if untrained and training["start"] == "scratch":
        raise ConfigError(f"training.start is scratch, but training.{names} is 0: untrained")
    if untrained and "autoencoder" in trained:
        raise ConfigError(
            f"training.autoencoder.steps makes another latent, but training.{names} is 0: the "
            "bundled part is of the bundled latent"
        )
    return trained


def make_pool_source(name: str, entry: Mapping[str, Any], downloads: Path) -> Dataset:
    """One source of the training pool: a data-set entry; scenes have no test split here.

    Raises ConfigError for data sets that are for testing only, and for scenes of another split.
    """
    where, kind = f"training.pool.{name}", entry.get("type", name)
    if kind in TEST_ONLY:
        raise ConfigError(f"{where}: {kind} is for testing only, nothing is trained on it")
    if kind != "scenes":
        return make_dataset(name, entry, downloads)
    source = make_dataset(name, {"test": 0, **entry}, downloads)
    for split in ("test", "val"):
        if source.values[split]:
            raise ConfigError(f"{where}: {split}={source.values[split]}: train is for training")
    if not source.values["train"]:
        raise ConfigError(f"{where}: train is 0: no scene to train on")
    return source


def check_pool(pool: Mapping[str, Dataset], coded: Mapping[str, Dataset], split: str) -> None:
    """ConfigError where an image that is coded in this run (`coded`, its `split`) is trained on.

    The same scenes or split of a data set, or a folder that is, holds or lies in that of a coded
    one. Copies of images are left to `read_pool`, which sees pixels.
    """
    for name, source in pool.items():
        for other, dataset in coded.items():
            text = f"training.pool.{name} and the data set {other!r} that is coded are the same"
            if source.values.get("path") or dataset.values.get("path"):
                ours, theirs = _folder(source), _folder(dataset)
                if ours and theirs and _overlap(ours, theirs):
                    raise ConfigError(f"{text} images: {ours}, {theirs}")
            same = source.kind == dataset.kind != "folder"
            same = same and source.values.get("seed") == dataset.values.get("seed")
            if same and split == "train":
                raise ConfigError(f"{text}: both are the split train")


def _folder(dataset: Dataset) -> Path | None:
    """Where the images of a data set lie before any run: given, or downloaded; None: nowhere."""
    if "path" not in dataset.values:
        return None
    given = dataset.values["path"]
    return (Path(given).expanduser() if given else dataset.downloads).resolve()


def _overlap(one: Path, other: Path) -> bool:
    return one == other or one in other.parents or other in one.parents


def training_records(source: Dataset, records: list[Record]) -> list[Record]:
    """The records of a source that may be trained on: a folder's all, else the split train."""
    if source.kind == "folder":
        return records
    return [record for record in records if record.split == "train"]
