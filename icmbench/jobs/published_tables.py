"""Tables of published points and of BD-rates against them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.core.typed_csv import read_table
from icmbench.metrics import METRICS
from icmbench.reporting.figures.task_curves import task_metrics
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.reporting.tables.published import published_bd_rates, published_table


def published_tables(
    *,
    rows: Sequence[Mapping[str, Any]],
    images: Mapping[str, int],
    comparison: Mapping[str, Any],
    rd: Path,
    tasks: Sequence[Path],
    table: Path,
    bd_rate: Path,
) -> None:
    """Write the published points that agree with a run, and the BD-rates against their curves.

    Args:
        rows: the points, of `config.published`.
        images: data set -> number of its images.
        comparison: section of the configuration.
        rd: table of rates and distortions.
        tasks: table of tasks, where there are some.
        table, bd_rate: the files to write.
    """
    measured = read_table(rd)
    scores = read_table(tasks[0]) if tasks else None
    most = measured.groupby("dataset")["images"].max()
    compared = {str(name): int(count) for name, count in most.items()}
    points = published_table(rows, images, compared)
    for name in sorted({*images} - {*points["dataset"]}):
        logging.warning(
            "%s: %d of %d images are compared: no published curves, whose means are over all",
            name, compared.get(name, 0), images[name],
        )  # fmt: skip
    write_csv(points, table)
    directions = {name: one.higher_is_better for name, one in METRICS.items()}
    directions |= {name: one.higher_is_better for name, one in task_metrics().items()}
    overlap = comparison["min_overlap"]
    write_csv(
        published_bd_rates(points, measured, scores, directions, min_overlap=overlap), bd_rate
    )
