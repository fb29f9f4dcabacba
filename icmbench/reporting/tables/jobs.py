"""The table of jobs: number of runs per rule, hosts, and used against requested resources."""

from __future__ import annotations

import ast
import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from icmbench.core.devices import UNUSED
from icmbench.core.errors import MeasurementError
from icmbench.core.joblog import STARTED

COLUMNS = (
    "rule", "jobs", "seconds", "longest_s", "cpu_s", "max_mb", "asked_mb", "memory_used",
    "asked_min", "time_used", "gpus", "gpu_unused", "hosts",
)  # fmt: skip
# Snakemake writes NA where a job ended before its first sample and - for a value it has not.
_EMPTY = frozenset({"", "NA", "-"})


class Job(NamedTuple):
    """One run of a rule; NaN where Snakemake did not sample or did not record the value."""

    seconds: float
    max_mb: float
    cpu_s: float
    asked_mb: float
    asked_min: float
    gpus: float
    host: str
    unused: bool


def jobs_table(files: Iterable[tuple[str, Path, Path | None]]) -> pd.DataFrame:
    """One row per rule from Snakemake's benchmark files; columns `COLUMNS`.

    Args:
        files: rule, path of the benchmark file and of the job's log, or None, each.

    `jobs`: number of runs (a benchmark with repeats has several); `seconds`, `cpu_s`: their
    wall-clock and processor seconds added up; `longest_s`: of the longest; `max_mb`: the largest
    resident memory of any; `asked_mb`, `asked_min`, `gpus`: the most that one asked for;
    `memory_used`, `time_used`: the largest share of it that one took; `hosts`: where they ran, most
    often first; `gpu_unused`: runs that computed on the CPU while a GPU was theirs. Values that are
    not known are left out; a cell is empty if none is (what was asked for is only known with
    `--benchmark-extended`, which profiles/default sets). Sorted by rule.

    Raises MeasurementError, naming the file, if it is missing, has no run or no column `s` or
    `max_rss`, or holds something that is no number.
    """
    runs: dict[str, list[Job]] = {}
    for rule, path, log in files:
        runs.setdefault(rule, []).extend(_runs(path, host_of(log), gpu_unused(log)))
    rows = [{"rule": rule, **_row(runs[rule])} for rule in sorted(runs)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def log_of(rule: str, benchmark: Path, logs: Path) -> Path:
    """The log beside a benchmark: logs/<rule>.log, or logs/<rule>/<job>.log of several."""
    if benchmark.stem == "all":
        return logs / f"{rule}.log"
    return logs / rule / f"{benchmark.stem}.log"


def host_of(log: Path | None) -> str:
    """The machine that a job's log names in its first line; '' where it names none."""
    if log is None or not log.is_file():
        return ""
    with open(log, encoding="utf-8", errors="replace") as handle:
        found = re.search(rf"{STARTED} ([^\s,]+)", handle.readline())
    return found.group(1) if found else ""


def gpu_unused(log: Path | None) -> bool:
    """True where a job's log has the warning of `icmbench.core.devices` about an unusable GPU."""
    if log is None or not log.is_file():
        return False
    with open(log, encoding="utf-8", errors="replace") as handle:
        return any(UNUSED in line for line in handle)


def _row(jobs: Sequence[Job]) -> dict[str, Any]:
    seconds = _known(job.seconds for job in jobs)
    hosts = [job.host for job in jobs if job.host]
    return {
        "jobs": len(jobs),
        # fsum: the sum does not depend on the order in which the files are listed.
        "seconds": math.fsum(seconds or [math.nan]),
        "longest_s": _most(seconds),
        "cpu_s": math.fsum(_known(job.cpu_s for job in jobs) or [math.nan]),
        "max_mb": _most(job.max_mb for job in jobs),
        "asked_mb": _most(job.asked_mb for job in jobs),
        "memory_used": _most(job.max_mb / job.asked_mb for job in jobs if job.asked_mb),
        "asked_min": _most(job.asked_min for job in jobs),
        "time_used": _most(job.seconds / 60 / job.asked_min for job in jobs if job.asked_min),
        "gpus": _most(job.gpus for job in jobs),
        "gpu_unused": sum(job.unused for job in jobs),
        "hosts": " ".join(sorted(set(hosts), key=lambda host: (-hosts.count(host), host))),
    }


def _runs(path: Path, host: str, unused: bool) -> list[Job]:
    """Every run in a benchmark file."""
    try:
        with open(path, encoding="utf-8", newline="") as handle:
            runs = list(_read(csv.DictReader(handle, delimiter="\t"), host, unused))
    except (OSError, UnicodeDecodeError, KeyError, ValueError, SyntaxError) as error:
        raise MeasurementError(f"{path} is not a benchmark file: {error}") from error
    if not runs:
        raise MeasurementError(f"{path} holds no run")
    return runs


def _read(lines: Iterable[Mapping[str, Any]], host: str, unused: bool) -> Iterator[Job]:
    for line in lines:
        asked = ast.literal_eval(line.get("resources") or "{}")
        yield Job(
            seconds=_number(line["s"]),
            max_mb=_number(line["max_rss"]),
            cpu_s=_number(line.get("cpu_time", "-")),
            asked_mb=float(asked.get("mem_mb", math.nan)),
            asked_min=float(asked.get("runtime", math.nan)),
            gpus=float(asked.get("gpu", 0)) if asked else math.nan,
            host=host,
            unused=unused,
        )


def _known(values: Iterable[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _most(values: Iterable[float]) -> float:
    return max(_known(values), default=math.nan)


def _number(text: str | None) -> float:
    if text is None:
        raise ValueError("a line is cut off")
    return math.nan if text.strip() in _EMPTY else float(text)
