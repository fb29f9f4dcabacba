"""Images of a data set, shard by shard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icmbench.datasets.manifest import provide_shard
from icmbench.datasets.records import write_records
from icmbench.datasets.registry import make_dataset


def dataset_shard(
    dataset: str,
    shard: int | str,
    *,
    entry: Mapping[str, Any],
    downloads: Path | str,
    shards: int,
    results: Path,
    records: Path,
    images: Path,
    sources: Path | str | None = None,
) -> None:
    """Provide the images of one shard of a data set, and their list.

    Args:
        entry: the data set's entry of the configuration.
        downloads: folder that keeps downloaded files.
        shards: number of shards of the run.
        results: folder of the run's results, of which a data set may use another's images.
        records, images: the list and the folder to write.
        sources: YAML file of further sources; None: the shipped ones.
    """
    source = make_dataset(dataset, entry, Path(downloads), results, sources)
    write_records(records, provide_shard(source, int(shard), shards, images))
