"""The verdict on a finished run."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from icmbench.core.files import write_json, write_text
from icmbench.reporting.report.verdict import read_verdict


def check_results(
    *,
    fail_on: str,
    split: str,
    units: Sequence[tuple[str, str]],
    task_sets: Mapping[str, Sequence[str]],
    line: Path | str,
    tables: Sequence[Path],
    manifests: Sequence[Path],
    verdict: Path,
) -> None:
    """Write the verdict, or exit with an error where `fail_on` demands it.

    Args:
        units: data set and codec entry of what is coded.
        task_sets: task -> its data sets.
        line: gets the verdict in one line. It is no output of the rule, because Snakemake removes
            the outputs of a job that fails and this line is printed then, too.
        tables: rd.csv, failures.csv and, where there are tasks, tasks.csv.
        verdict: the file to write where the run passes.
    """
    found = read_verdict(
        {path.stem: path for path in tables},
        manifests,
        split=split,
        units=units,
        task_sets=task_sets,
    )
    text = found.line(fail_on)
    write_text(line, text)
    if found.is_error(fail_on):
        sys.exit(text)
    write_json(verdict, {"empty": found.empty, "failed": found.failed})
