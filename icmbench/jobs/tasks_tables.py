"""Tables of all tasks and data sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from icmbench.jobs.frames import join_tables


def tasks_tables(
    *,
    scores: Sequence[Path],
    score_bd_rates: Sequence[Path],
    score_failures: Sequence[Path],
    score_rates: Sequence[Path],
    tasks: Path,
    bd_rate: Path,
    failures: Path,
    rates: Path,
) -> None:
    """Join scores, BD-rates, failures and rates of all tasks and data sets: one table each."""
    for parts, table in (
        (scores, tasks),
        (score_bd_rates, bd_rate),
        (score_failures, failures),
        (score_rates, rates),
    ):
        join_tables(parts, table)
