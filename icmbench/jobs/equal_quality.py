"""Bytes at equal quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.jobs.frames import join_parquet
from icmbench.metrics import METRICS
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.reporting.tables.equal_quality import equal_quality_table


def equal_quality(
    *,
    metrics: Sequence[str],
    anchors: Sequence[str],
    qualities: Mapping[str, Sequence[float]],
    bootstrap: Mapping[str, Any],
    comparison: Mapping[str, Any],
    measurements: Sequence[Path],
    table: Path,
) -> None:
    """Write the ratios of bytes of all codec entries to the anchors at equal quality.

    Args:
        metrics, comparison: as for `rd.csv`: the same images are compared.
        qualities: metric -> levels.
        measurements: of all data sets and codec entries.
        table: the table to write.
    """
    found = equal_quality_table(
        join_parquet(measurements),
        {name: METRICS[name].higher_is_better for name in metrics},
        anchors,
        qualities,
        resamples=bootstrap["resamples"],
        seed=bootstrap["seed"],
        max_failed=comparison["max_failed"],
    )
    write_csv(found, table)
