"""Metrics of one task on one data set, for every codec string, and their BD-rates."""

from pathlib import Path

import pandas as pd

from icmbench.core.joblog import log_to
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.reporting.tables.tasks import Scored, Settings, score_task
from icmbench.tasks.evaluate import read_truth
from icmbench.tasks.registry import make_task

with log_to(snakemake.log[0]):
    params, files = snakemake.params, snakemake.input
    task = make_task(snakemake.wildcards.task, params.entry)
    predictions = {}
    for shard in map(Path, files.predictions):  # <codec>/<shard>
        predictions.setdefault(shard.parent.name, []).append(shard / f"{task.name}.zip")
    tables = score_task(
        Scored(task.name, task.model, task.produces),
        pd.concat([pd.read_parquet(path) for path in files.measurements], ignore_index=True),
        read_truth(Path(files.truth[0]).parent),
        predictions,
        Settings(
            resamples=params.bootstrap["bd_resamples"],
            seed=params.bootstrap["seed"],
            max_failed=params.comparison["max_failed"],
            min_overlap=params.comparison["min_overlap"],
            anchors=params.anchors,
            rates=params.rates,
        ),
    )
    write_csv(tables.scores, Path(snakemake.output.scores))
    write_csv(tables.bd_rates, Path(snakemake.output.bd_rate))
    write_csv(tables.paired, Path(snakemake.output.paired))
    write_csv(tables.failures, Path(snakemake.output.failures))
