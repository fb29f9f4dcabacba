"""Differences between codecs at equal rate: the table, and a figure per data set."""

from pathlib import Path

import pandas as pd

from icmbench.core.joblog import log_to
from icmbench.core.typed_csv import read_table
from icmbench.metrics import METRICS
from icmbench.reporting.figures.paired import paired_figure
from icmbench.reporting.figures.style import save
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.reporting.tables.paired import paired_table

with log_to(snakemake.log[0]):
    params, files = snakemake.params, snakemake.input
    metrics = [METRICS[name] for name in params.metrics]
    table = paired_table(
        pd.concat([pd.read_parquet(path) for path in files.measurements], ignore_index=True),
        {metric.name: metric.higher_is_better for metric in metrics},
        params.anchors,
        params.rates,
        resamples=params.bootstrap["resamples"],
        seed=params.bootstrap["seed"],
        max_failed=params.comparison["max_failed"],
    )
    parts = [table, *(read_table(path) for path in files.tasks)]
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    write_csv(table, Path(snakemake.output.table))
    for stem in sorted({Path(path).with_suffix("") for path in snakemake.output.figures}):
        dataset = stem.name.removeprefix("paired_")
        save(paired_figure(table, metrics, dataset, params.anchors), stem)
