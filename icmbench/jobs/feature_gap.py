"""The table of feature gaps and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from icmbench.jobs.figures import save_figure
from icmbench.jobs.frames import join_parquet
from icmbench.jobs.groups import by_name
from icmbench.reporting.figures.feature_gap import feature_gap as draw_gap
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.reporting.tables.feature_gap import gap_table
from icmbench.tasks.registry import make_task


def feature_gap(
    *,
    tasks: Mapping[str, Mapping[str, Any]],
    drawn: Mapping[str, tuple[str, str]],
    bootstrap: Mapping[str, Any],
    comparison: Mapping[str, Any],
    gaps: Sequence[Path],
    measurements: Sequence[Path],
    table: Path,
    figures: Sequence[Path],
) -> None:
    """Tabulate the feature gaps of all codecs, and draw a figure per data set and task.

    Args:
        tasks: entries of the configuration, by name.
        drawn: figure -> data set and task, in the order of `gaps`.
        gaps: tables of the shards and codec entries, one figure after the other.
        table, figures: the files to write.
    """
    measured = join_parquet(measurements)
    parts = [
        gap_table(
            join_parquet(paths),
            measured[measured["dataset"] == drawn[name][0]],
            task=drawn[name][1],
            model=make_task(drawn[name][1], tasks[drawn[name][1]]).model,
            resamples=bootstrap["resamples"],
            seed=bootstrap["seed"],
            max_failed=comparison["max_failed"],
        )
        for name, paths in by_name(drawn, gaps).items()
    ]
    found = pd.concat(parts, ignore_index=True)
    write_csv(found, table)
    for name, (dataset, task) in drawn.items():
        save_figure(name, draw_gap(found, dataset, task), figures)
