"""What each ingredient is worth at equal rate: the table, and a figure per data set and rate."""

from pathlib import Path

import pandas as pd

from icmbench.core.joblog import log_to
from icmbench.metrics import METRICS
from icmbench.reporting.figures.ablation import ablation_figure
from icmbench.reporting.figures.style import save
from icmbench.reporting.tables.ablation import ablation_table
from icmbench.reporting.tables.csv_files import write_csv

with log_to(snakemake.log[0]):
    params, out = snakemake.params, snakemake.output
    rows = pd.concat(
        [pd.read_parquet(path) for path in snakemake.input.measurements], ignore_index=True
    )
    metrics = [METRICS[name] for name in params.metrics]
    table = ablation_table(
        rows,
        {metric.name: metric.higher_is_better for metric in metrics},
        params.full,
        params.without,
        params.rates,
        resamples=params.bootstrap["resamples"],
        seed=params.bootstrap["seed"],
        max_failed=params.comparison["max_failed"],
    )
    write_csv(table, Path(out.table))
    for stem in sorted({Path(path).with_suffix("") for path in out.figures}):
        dataset, _, number = stem.name.removeprefix("ablation_").rpartition("_")
        save(ablation_figure(table, metrics, dataset, params.rates[int(number)]), stem)
