"""The manifest of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from icmbench.datasets.records import read_records, write_records


def manifest(*, shards: Sequence[Path], manifest: Path) -> None:
    """Join the lists of all shards."""
    write_records(manifest, [record for path in shards for record in read_records(path)])
