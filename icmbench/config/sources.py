"""Sources of the training set: a small module, since every source's images depend on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icmbench.core.errors import ConfigError
from icmbench.datasets.base import Dataset, Record
from icmbench.datasets.registry import make_dataset

TEST_ONLY = ("kodak", "photos")


def make_pool_source(
    name: str, entry: Mapping[str, Any], downloads: Path, results: Path | None = None
) -> Dataset:
    """One source of the training pool: a data-set entry; scenes have no test split here.

    Raises ConfigError for data sets that are for testing only, and for scenes of another split.
    """
    where, kind = f"training.pool.{name}", entry.get("type", name)
    entry = {key: value for key, value in entry.items() if key != "tags"}
    if kind in TEST_ONLY:
        raise ConfigError(f"{where}: {kind} is for testing only, nothing is trained on it")
    if kind != "scenes":
        return make_dataset(name, entry, downloads, results)
    source = make_dataset(name, {"test": 0, **entry}, downloads, results)
    for split in ("test", "val"):
        if source.values[split]:
            raise ConfigError(f"{where}: {split}={source.values[split]}: train is for training")
    if not source.values["train"]:
        raise ConfigError(f"{where}: train is 0: no scene to train on")
    return source


def training_records(source: Dataset, records: list[Record]) -> list[Record]:
    """The records of a source that may be trained on: a folder's all, else the split train."""
    if source.kind == "folder":
        return records
    return [record for record in records if record.split == "train"]
