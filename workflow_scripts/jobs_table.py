"""Seconds and memory of every rule, from Snakemake's benchmark files."""

from pathlib import Path

from icmbench.joblog import log_to
from icmbench.reporting.csv_files import write_csv
from icmbench.reporting.jobs import jobs_table

with log_to(snakemake.log[0]):
    files = sorted(Path(snakemake.params.benchmarks).glob("*/*.tsv"))
    write_csv(jobs_table((path.parent.name, path) for path in files), Path(snakemake.output[0]))
