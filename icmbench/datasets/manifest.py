"""Images of one shard of a data set."""

from __future__ import annotations

from pathlib import Path

from icmbench.datasets.base import Dataset
from icmbench.datasets.records import Record, shard_of


def shard_ids(dataset: Dataset, shard: int, shards: int) -> list[str]:
    """Sorted ids of the images of one shard."""
    return [name for name in dataset.image_ids() if shard_of(name, shards) == shard]


def provide_shard(dataset: Dataset, shard: int, shards: int, folder: Path) -> list[Record]:
    """Provide the images of one shard in `folder`; see `Dataset.provide`."""
    folder.mkdir(parents=True, exist_ok=True)
    records = dataset.provide(shard_ids(dataset, shard, shards), folder)
    return sorted(records, key=lambda record: record.image)
