"""Spread over the seeds of stochastic decoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.jobs.frames import join_parquet
from icmbench.reporting.tables import seeds
from icmbench.reporting.tables.csv_files import write_csv


def seeds_table(
    *,
    metrics: Sequence[str],
    comparison: Mapping[str, Any],
    measurements: Sequence[Path],
    table: Path,
) -> None:
    """Write the spread of every metric over the seeds of every point that has several.

    Args:
        metrics, comparison: as for `rd.csv`: the same images are averaged.
        measurements: of all data sets and codec entries.
        table: the table to write.
    """
    rows = join_parquet(measurements)
    write_csv(seeds.seeds_table(rows, metrics, max_failed=comparison["max_failed"]), table)
