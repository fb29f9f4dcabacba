"""Verdict on a finished run: codecs and tasks without any result, and failures of single images.

A failing image, codec or task is a row and never sinks a run. Whether the finished run exits with
an error is decided here, from the tables alone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from icmbench.core.typed_csv import read_table
from icmbench.datasets.records import read_records, usable
from icmbench.reporting.tables.failures import REFUSED

EMPTY, ANY, NEVER = "empty", "any", "never"
_WIDEST = 120  # characters of a reason


@dataclass(frozen=True)
class Verdict:
    """Findings about a finished run.

    Attributes:
        empty: sentences, one per data set, codec entry or task that gave no result where it was to
            run.
        failed: sentences on the numbers of single failures.
    """

    empty: tuple[str, ...]
    failed: tuple[str, ...]

    def is_error(self, fail_on: str) -> bool:
        """True where the run exits with an error under `fail_on` (empty, any or never)."""
        return bool((self.empty and fail_on != NEVER) or (self.failed and fail_on == ANY))

    def line(self, fail_on: str) -> str:
        """One line for the terminal; empty where there is nothing to state."""
        if not self.empty and not (self.failed and fail_on == ANY):
            return ""
        word = "FAILED" if self.is_error(fail_on) else "incomplete"
        found = "; ".join([*self.empty, *(self.failed if fail_on == ANY else ())])
        return f"{word} (fail_on: {fail_on}): {found}; the report gives the reasons"


def verdict(
    rd: pd.DataFrame,
    failures: pd.DataFrame,
    tasks: pd.DataFrame | None,
    *,
    images: Mapping[str, int],
    units: Sequence[tuple[str, str]],
    task_sets: Mapping[str, Sequence[str]],
) -> Verdict:
    """The verdict on a run from its tables.

    Args:
        rd: columns `dataset, family, failed`, one row per data set and codec spec.
        failures: as `failures_table` makes it.
        tasks: columns `dataset, task, value` and, where known, `family, codec, failed`; None
            without tasks.
        images: number of usable images of every data set of the run.
        units: data set and codec entry of what is coded.
        task_sets: data sets by task.
    """
    empty = [f"data set {name}: no usable image" for name, count in images.items() if not count]
    for dataset, family in units:
        rows = rd[(rd["dataset"] == dataset) & (rd["family"] == family)]
        if images[dataset] and not (rows["failed"] < images[dataset]).any():
            empty.append(f"{family} on {dataset}: no image was coded{_reason(failures, rows)}")
    for task, datasets in task_sets.items():
        for dataset in datasets:
            if images.get(dataset) and not _has_value(tasks, dataset, task):
                empty.append(f"task {task} on {dataset}: no result")
    return Verdict(tuple(empty), tuple(_counts(failures, tasks)))


def read_verdict(
    tables: Mapping[str, Path],
    manifests: Sequence[Path],
    *,
    split: str,
    units: Sequence[tuple[str, str]],
    task_sets: Mapping[str, Sequence[str]],
) -> Verdict:
    """`verdict` from the files of a run.

    Args:
        tables: files of `rd`, `failures` and, with tasks, `tasks`.
        manifests: one per data set, in a folder of its name.
        split: the split that was coded.
    """
    return verdict(
        read_table(tables["rd"]),
        read_table(tables["failures"]),
        read_table(tables["tasks"]) if "tasks" in tables else None,
        images={path.parent.name: len(usable(read_records(path), split)) for path in manifests},
        units=units,
        task_sets=task_sets,
    )


def _has_value(tasks: pd.DataFrame | None, dataset: str, task: str) -> bool:
    if tasks is None:
        return False
    rows = tasks[(tasks["dataset"] == dataset) & (tasks["task"] == task)]
    return bool(np.isfinite(pd.to_numeric(rows["value"])).any())


def _reason(failures: pd.DataFrame, rows: pd.DataFrame) -> str:
    """The first recorded detail of a codec entry's failures, in brackets."""
    if rows.empty:
        return ""
    where = (failures["dataset"] == rows["dataset"].iloc[0]) & (
        failures["family"] == rows["family"].iloc[0]
    )
    details = [text for text in failures.loc[where, "detail"] if isinstance(text, str) and text]
    return f" ({textwrap.shorten(details[0], _WIDEST)})" if details else ""


def _counts(failures: pd.DataFrame, tasks: pd.DataFrame | None) -> list[str]:
    refused = failures["status"] == REFUSED
    found = []
    for rows, words in ((~refused, "failed coding"), (refused, "refused image")):
        if count := int(failures.loc[rows, "images"].sum()):
            found.append(f"{count} {words}{'s' if count > 1 else ''}")
    if tasks is not None and "failed" in tasks and len(tasks):
        # Every metric of a task repeats the count; a codec's own failures are counted above.
        # Two entries may have one codec spec.
        point = ["dataset", "family", "codec"]
        each = tasks.drop_duplicates([*point, "task"])[[*point, "failed"]].fillna({"failed": 0})
        coded = failures[~refused].groupby(point)["images"].sum().to_dict()
        count = sum(
            max(0, int(failed) - int(coded.get(tuple(key), 0)))
            for *key, failed in each.itertuples(index=False)
        )
        if count:
            found.append(f"{count} failed prediction{'s' if count > 1 else ''}")
    return found
