"""The table of jobs: how often each rule ran, for how long, in how much memory."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from icmbench.errors import MeasurementError

COLUMNS = ("rule", "jobs", "seconds", "max_mb")
# Snakemake writes NA where a job ended before its first sample and - for a value it has not.
_EMPTY = frozenset({"", "NA", "-"})


def jobs_table(benchmark_files: Iterable[tuple[str, Path]]) -> pd.DataFrame:
    """One row per rule from Snakemake's benchmark files: (rule, path of the TSV) each.

    `jobs`: number of runs (a benchmark with repeats has several); `seconds`: their wall-clock
    seconds added up; `max_mb`: the largest resident memory of any of them. Values that Snakemake
    did not sample are left out; a cell is empty if it sampled none. Sorted by rule. Raises
    `MeasurementError`, naming the file, if it is missing, has no run or no column `s` or
    `max_rss`, or holds something that is no number.
    """
    runs: dict[str, list[tuple[float, float]]] = {}
    for rule, path in benchmark_files:
        runs.setdefault(rule, []).extend(_runs(path))
    rows = [
        {
            "rule": rule,
            "jobs": len(runs[rule]),
            # fsum: the sum does not depend on the order in which the files are listed.
            "seconds": math.fsum(_known(s for s, _ in runs[rule]) or [math.nan]),
            "max_mb": max(_known(mb for _, mb in runs[rule]), default=math.nan),
        }
        for rule in sorted(runs)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _runs(path: Path) -> list[tuple[float, float]]:
    """Seconds and megabytes of every run in a benchmark file, nan where not sampled."""
    try:
        with open(path, encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle, delimiter="\t")
            runs = [(_number(line["s"]), _number(line["max_rss"])) for line in reader]
    except (OSError, UnicodeDecodeError, KeyError, ValueError) as error:
        raise MeasurementError(f"{path} is not a benchmark file: {error}") from error
    if not runs:
        raise MeasurementError(f"{path} holds no run")
    return runs


def _known(values: Iterable[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _number(text: str | None) -> float:
    if text is None:
        raise ValueError("a line is cut off")
    return math.nan if text.strip() in _EMPTY else float(text)
