"""Differences between codecs at equal rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.core.typed_csv import read_table
from icmbench.jobs.figures import save_figure
from icmbench.jobs.frames import join_frames, join_parquet
from icmbench.metrics import METRICS
from icmbench.reporting.figures.paired import paired_figure
from icmbench.reporting.tables import paired
from icmbench.reporting.tables.csv_files import write_csv


def paired_table(
    *,
    metrics: Sequence[str],
    anchors: Sequence[str],
    rates: Sequence[float],
    bootstrap: Mapping[str, Any],
    comparison: Mapping[str, Any],
    drawn: Mapping[str, str],
    measurements: Sequence[Path],
    tasks: Sequence[Path],
    table: Path,
    figures: Sequence[Path],
) -> None:
    """Compare codecs with the anchors at equal rate: the table, and a figure per data set.

    Args:
        drawn: figure -> data set.
        tasks: differences of the tasks, one table per data set and task.
        table, figures: the files to write.
    """
    shown = [METRICS[name] for name in metrics]
    of_images = paired.paired_table(
        join_parquet(measurements),
        {metric.name: metric.higher_is_better for metric in shown},
        anchors,
        rates,
        resamples=bootstrap["resamples"],
        seed=bootstrap["seed"],
        max_failed=comparison["max_failed"],
    )
    found = join_frames([of_images, *(read_table(path) for path in tasks)])
    write_csv(found, table)
    for name, dataset in drawn.items():
        save_figure(name, paired_figure(found, shown, dataset, anchors), figures)
