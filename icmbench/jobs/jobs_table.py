"""Time, memory and revision of every rule's jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from icmbench.reporting.report.revisions import revisions_table
from icmbench.reporting.tables import jobs as tables
from icmbench.reporting.tables.csv_files import write_csv


def jobs_table(
    *,
    benchmarks: Mapping[str, Sequence[str]],
    results: Path,
    jobs: Path,
    revisions: Path,
) -> None:
    """Write the used and requested resources of every rule, and the revision of its code.

    Args:
        benchmarks: rule -> Snakemake's benchmark files of its jobs.
        results: folder of the run's results, which holds the logs.
        jobs, revisions: the tables to write.
    """
    files = [
        (rule, path, tables.log_of(rule, path, results / "logs"))
        for rule, paths in benchmarks.items()
        for path in map(Path, paths)
    ]
    write_csv(tables.jobs_table(files), jobs)
    write_csv(revisions_table(files), revisions)
