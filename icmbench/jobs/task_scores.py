"""Scores of one task on one data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.jobs.frames import join_parquet
from icmbench.jobs.groups import by_name
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.reporting.tables.task_comparisons import Scored, Settings
from icmbench.reporting.tables.tasks import score_task
from icmbench.tasks.base import ORIGINALS
from icmbench.tasks.evaluate import read_truth
from icmbench.tasks.registry import make_task


def task_scores(
    task: str,
    *,
    entry: Mapping[str, Any],
    anchors: Sequence[str],
    rates: Sequence[float],
    shares: Sequence[float],
    bootstrap: Mapping[str, Any],
    comparison: Mapping[str, Any],
    predicted: Sequence[str],
    measurements: Sequence[Path],
    predictions: Sequence[Path],
    truth: Sequence[Path],
    scores: Path,
    bd_rate: Path,
    paired: Path,
    failures: Path,
    needed: Path,
) -> None:
    """Score a task for every codec spec; compare the codecs with the anchors.

    Args:
        entry: the task's entry of the configuration.
        predicted: the originals and every codec entry, in the order of `predictions`.
        predictions: folders of the shards, one codec entry after the other.
        truth: annotations of the data set.
        scores, bd_rate, paired, failures, needed: the tables to write.
    """
    scored = make_task(task, entry)
    tables = score_task(
        Scored(scored.name, scored.model, scored.produces, entry.get("reference") == ORIGINALS),
        join_parquet(measurements),
        read_truth(truth[0].parent),
        {
            name: [folder / f"{task}.zip" for folder in folders]
            for name, folders in by_name(predicted, predictions).items()
        },
        Settings(
            resamples=bootstrap["bd_resamples"],
            seed=bootstrap["seed"],
            max_failed=comparison["max_failed"],
            min_overlap=comparison["min_overlap"],
            anchors=anchors,
            rates=rates,
            shares=shares,
        ),
    )
    write_csv(tables.scores, scores)
    write_csv(tables.bd_rates, bd_rate)
    write_csv(tables.paired, paired)
    write_csv(tables.failures, failures)
    write_csv(tables.rates, needed)
