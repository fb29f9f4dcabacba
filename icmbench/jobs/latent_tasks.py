"""The table of a task on decoded latents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from icmbench.core.typed_csv import read_table
from icmbench.jobs.frames import join_frames
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.reporting.tables.latent_tasks import latent_table


def latent_tasks(
    *,
    scores: Sequence[Path],
    scores_against: Sequence[Path],
    predictions: Sequence[Path],
    table: Path,
) -> None:
    """Write accuracy and seconds from latents beside those from reconstructions.

    Args:
        scores, scores_against: scores of either task, by data set.
        predictions: folders `<data set>/<codec entry>/<shard>` with a `seconds.csv` each.
        table: the table to write.
    """
    parts = [
        read_table(folder / "seconds.csv").assign(
            dataset=folder.parent.parent.name, family=folder.parent.name
        )
        for folder in predictions
    ]
    mine, theirs = (
        join_frames([read_table(path) for path in paths]) for paths in (scores, scores_against)
    )
    write_csv(latent_table(mine, theirs, join_frames(parts)), table)
