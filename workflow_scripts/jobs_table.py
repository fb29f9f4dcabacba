"""What every rule took of what it had asked for, and the revision of every job's code."""

from pathlib import Path

from icmbench.core.joblog import log_to
from icmbench.reporting.report.revisions import revisions_table
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.reporting.tables.jobs import jobs_table, log_of

with log_to(snakemake.log[0]):
    logs = Path(snakemake.config["results"]) / "logs"
    files = [
        (rule, path, log_of(rule, path, logs))
        for rule, paths in snakemake.params.benchmarks.items()
        for path in map(Path, paths)
    ]
    write_csv(jobs_table(files), Path(snakemake.output.jobs))
    write_csv(revisions_table(files), Path(snakemake.output.revisions))
