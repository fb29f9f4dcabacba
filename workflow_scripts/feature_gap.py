"""Feature gaps: of one shard's pictures, or the table of all of them and its figures."""

from pathlib import Path

import pandas as pd
from matplotlib import pyplot

from icmbench.core.files import write_parquet
from icmbench.core.joblog import log_to
from icmbench.datasets.manifest import read_records, usable
from icmbench.reporting.figures.feature_gap import feature_gap
from icmbench.reporting.figures.style import save
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.reporting.tables.feature_gap import gap_table
from icmbench.studies.feature_gap import shard_gaps
from icmbench.tasks.evaluate import read_truth
from icmbench.tasks.registry import make_task
from icmbench.tasks.run import load_tasks


def of_shard(files, wildcards, params):
    """The gaps of every picture of a shard."""
    import torch

    torch.set_num_threads(snakemake.threads)
    task = make_task(wildcards.task, params.entry)
    labels = read_truth(Path(files.truth[0]).parent).labels(wildcards.dataset)
    ((_, failure),) = load_tasks([task], labels, params.device)
    frame = shard_gaps(
        task,
        failure,
        wildcards.dataset,
        wildcards.codec,
        usable(read_records(Path(files.records)), params.split),
        Path(files.images),
        pictures=Path(files.pictures),
        decoded=Path(files.decoded),
    )
    write_parquet(Path(snakemake.output[0]), frame)


def of_all(files, params):
    """The table, and a figure per data set and task."""
    gaps: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for path in map(Path, files.gaps):
        dataset, task = path.parts[-4:-2]
        gaps.setdefault((dataset, task), []).append(pd.read_parquet(path))
    measured = pd.concat([pd.read_parquet(path) for path in files.measurements], ignore_index=True)
    parts = [
        gap_table(
            pd.concat(frames, ignore_index=True),
            measured[measured["dataset"] == dataset],
            task=task,
            model=make_task(task, params.tasks[task]).model,
            resamples=params.bootstrap["resamples"],
            seed=params.bootstrap["seed"],
            max_failed=params.comparison["max_failed"],
        )
        for (dataset, task), frames in gaps.items()
    ]
    table = pd.concat(parts, ignore_index=True)
    write_csv(table, Path(snakemake.output.table))
    for name, (dataset, task) in params.figures.items():
        figure = feature_gap(table, dataset, task)
        save(figure, Path(snakemake.output.figures[0]).parent / name)
        pyplot.close(figure)


with log_to(snakemake.log[0]):
    if snakemake.input.get("pictures"):
        of_shard(snakemake.input, snakemake.wildcards, snakemake.params)
    else:
        of_all(snakemake.input, snakemake.params)
