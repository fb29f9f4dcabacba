"""Seconds per image and codec spec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from icmbench.core.typed_csv import read_table
from icmbench.jobs.frames import join_frames, join_parquet
from icmbench.reporting.tables import timing
from icmbench.reporting.tables.csv_files import write_csv


def timing_table(*, measurements: Sequence[Path], parts: Sequence[Path], table: Path) -> None:
    """Write the median seconds of encoding and decoding, per image and codec spec.

    Args:
        measurements: rows that name the encoding of every codec spec.
        parts: timing tables of the coding jobs.
        table: the table to write.
    """
    rows = join_parquet(measurements, ["codec", "encoding"])
    seconds = join_frames([read_table(path) for path in parts])
    write_csv(timing.timing_table(seconds, timing.encodings(rows)), table)
