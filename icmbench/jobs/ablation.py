"""The ablation: its table and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.jobs.figures import save_figure
from icmbench.jobs.frames import join_parquet
from icmbench.metrics import METRICS
from icmbench.reporting.figures.ablation import ablation_figure
from icmbench.reporting.tables.ablation import ablation_table
from icmbench.reporting.tables.csv_files import write_csv


def ablation(
    *,
    full: str,
    without: Mapping[str, str],
    rates: Sequence[float],
    metrics: Sequence[str],
    bootstrap: Mapping[str, Any],
    comparison: Mapping[str, Any],
    drawn: Mapping[str, tuple[str, float]],
    measurements: Sequence[Path],
    table: Path,
    figures: Sequence[Path],
) -> None:
    """Compare a codec without each ingredient with the full one at equal rate.

    Args:
        full: the complete codec's entry.
        without: ingredient -> the entry without it.
        drawn: figure -> data set and rate in bits per pixel.
        measurements: of all these entries.
        table, figures: the files to write.
    """
    shown = [METRICS[name] for name in metrics]
    found = ablation_table(
        join_parquet(measurements),
        {metric.name: metric.higher_is_better for metric in shown},
        full,
        without,
        rates,
        resamples=bootstrap["resamples"],
        seed=bootstrap["seed"],
        max_failed=comparison["max_failed"],
    )
    write_csv(found, table)
    for name, (dataset, rate) in drawn.items():
        save_figure(name, ablation_figure(found, shown, dataset, rate), figures)
