"""Images of one source of the training set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icmbench.config.training_data import make_training_set, training_records
from icmbench.datasets.manifest import provide_shard, write_records


def training_pool(
    source: str,
    *,
    entry: Mapping[str, Any],
    downloads: Path | str,
    results: Path,
    records: Path,
    images: Path,
) -> None:
    """Provide the training images of one source; arguments as in `dataset_shard`."""
    dataset = make_training_set(source, entry, Path(downloads), results)
    write_records(records, training_records(dataset, provide_shard(dataset, 0, 1, images)))
