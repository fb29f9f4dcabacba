"""Table and figures of FID and KID."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from icmbench.core.typed_csv import read_table
from icmbench.jobs.figures import save_figure
from icmbench.jobs.frames import join_frames
from icmbench.reporting.figures.fid import fid_figure
from icmbench.reporting.tables.csv_files import write_csv


def distribution_table(
    *,
    drawn: Mapping[str, str],
    names: Mapping[str, str],
    families: Sequence[str],
    distances: Sequence[Path],
    table: Path,
    figures: Sequence[Path],
) -> None:
    """Join the distances of all codec entries and draw them against rate, per data set.

    Args:
        drawn: figure -> data set.
        names: codec entry -> legend text, where it differs from the name.
        families: all codec entries of the run: they decide the styles.
        distances: one table per data set and codec entry.
        table, figures: the files to write.
    """
    found = join_frames([read_table(path) for path in distances])
    order = ["dataset", "family", "bpp", "codec"]
    write_csv(found.sort_values(order, kind="stable", ignore_index=True), table)
    for name, dataset in drawn.items():
        save_figure(name, fid_figure(found, dataset, families, names), figures)
