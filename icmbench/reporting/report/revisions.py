"""Revisions of the code behind a run's artefacts: after a partial rerun there are several."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from icmbench.core.joblog import REVISION
from icmbench.core.revision import UNKNOWN

COLUMNS = ("revision", "rule", "job")
SUMMARY = ("revision", "rule", "jobs", "artefacts")
MOST_NAMED = 6


def revisions_table(files: Iterable[tuple[str, Path, Path | None]]) -> pd.DataFrame:
    """One row per job: the revision that made its outputs; columns `COLUMNS`, sorted.

    Args:
        files: rule, path of the benchmark file and of the job's log, or None, each. The benchmark
            file's name without suffix is the job's: its wildcards, or `all`.
    """
    rows = sorted((revision_of(log), rule, path.stem) for rule, path, log in files)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def revision_of(log: Path | None) -> str:
    """The revision that a job's log names in its first line; `unknown` where it names none."""
    if log is None or not log.is_file():
        return UNKNOWN
    with open(log, encoding="utf-8", errors="replace") as handle:
        found = re.search(rf"{REVISION} (\S+)", handle.readline())
    return found.group(1) if found else UNKNOWN


def mixed_revisions(table: pd.DataFrame, report: str) -> pd.DataFrame:
    """The revisions of a run by rule, columns `SUMMARY`; empty where there is only one.

    Args:
        table: of `revisions_table`.
        report: the revision that makes the report.
    """
    last = pd.DataFrame([(report, "report", "all")], columns=list(COLUMNS))
    whole = pd.concat([table, last], ignore_index=True)
    rows = []
    if whole["revision"].nunique() > 1:
        for (revision, rule), part in whole.groupby(["revision", "rule"], sort=True):
            rows.append((revision, rule, len(part), _named(list(part["job"]))))
    return pd.DataFrame(rows, columns=list(SUMMARY))


def _named(jobs: list[str]) -> str:
    rest = len(jobs) - MOST_NAMED
    return ", ".join(jobs[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
