"""Tables that jobs read in parts, as one frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from icmbench.core.typed_csv import read_table


def join_parquet(paths: Sequence[Path], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The rows of Parquet files, in order; all columns or some."""
    wanted = None if columns is None else list(columns)
    parts = [pd.read_parquet(path, columns=wanted) for path in paths]
    return pd.concat(parts, ignore_index=True)


def join_frames(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of frames of one form, in order; an empty part decides no column's type."""
    filled = [part for part in parts if len(part)] or list(parts[:1])
    return pd.concat(filled, ignore_index=True)


def join_tables(paths: Sequence[Path], out: Path) -> None:
    """Write the rows of CSV tables of one form below each other."""
    from icmbench.reporting.tables.csv_files import write_csv

    write_csv(pd.concat([read_table(path) for path in paths], ignore_index=True), out)
