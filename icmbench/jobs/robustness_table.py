"""Outcomes of damaged streams, and of whole ones on other machines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from icmbench.evaluation.agreement import read_verification
from icmbench.jobs.figures import save_figure
from icmbench.jobs.frames import join_parquet
from icmbench.reporting.figures.robustness import robustness_figure
from icmbench.reporting.tables import robustness
from icmbench.reporting.tables.csv_files import write_csv


def robustness_table(
    dataset: str,
    *,
    trials: Sequence[Path],
    verifications: Sequence[Path],
    table: Path,
    figures: Sequence[Path],
) -> None:
    """Tabulate and draw the outcomes of damaged streams and of remote decoding.

    Args:
        verifications: tables of `icmbench verify`, named after the other machine.
        table, figures: the files to write.
    """
    found = join_parquet(trials)
    verified = {path.stem: read_verification(path) for path in verifications}
    write_csv(robustness.robustness_table(found, verified), table)
    save_figure("robustness", robustness_figure(found, dataset), figures)
