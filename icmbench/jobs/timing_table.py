"""Seconds per image and costs of every codec spec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from icmbench.core.typed_csv import read_table
from icmbench.jobs.frames import join_frames, join_parquet
from icmbench.reporting.tables import timing
from icmbench.reporting.tables.costs import costs_table
from icmbench.reporting.tables.csv_files import write_csv


def timing_table(
    *, measurements: Sequence[Path], parts: Sequence[Path], table: Path, costs: Path
) -> None:
    """Write the median seconds of encoding and decoding, and the costs of both, per codec spec.

    Args:
        measurements: rows that name the encoding of every codec spec.
        parts: timing tables of the coding jobs.
        table, costs: the tables to write.
    """
    rows = join_parquet(measurements, ["codec", "encoding"])
    seconds = join_frames([read_table(path) for path in parts])
    encoding_of = timing.encodings(rows)
    write_csv(timing.timing_table(seconds, encoding_of), table)
    write_csv(costs_table(seconds, encoding_of), costs)
