"""The table of pseudo-labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from icmbench.jobs.frames import join_tables


def pseudo_labels_table(*, parts: Sequence[Path], table: Path) -> None:
    """Join the clusters of every kind of descriptors."""
    join_tables(parts, table)
