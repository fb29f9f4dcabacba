"""Seconds and memory of every rule, from Snakemake's benchmark files."""

from pathlib import Path

from icmbench.joblog import log_to
from icmbench.reporting.csv_files import write_csv
from icmbench.reporting.jobs import jobs_table

with log_to(snakemake.log[0]):
    files = [(r, Path(path)) for r, paths in snakemake.params.benchmarks.items() for path in paths]
    write_csv(jobs_table(files), Path(snakemake.output[0]))
