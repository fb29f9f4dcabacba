"""CSV tables read back: names stay text, whatever they look like."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

import pandas as pd

from icmbench.core.errors import MeasurementError

# Columns that hold names and sentences, in any table of a run. Every other column holds numbers.
TEXT: Final = frozenset(
    {
        "against", "anchor", "anchor_specs", "annotation", "bits", "codec", "damage", "dataset",
        "detail", "device", "digest", "elsewhere", "encoding", "energy", "example", "family",
        "first_image", "here", "host", "hosts", "how_read", "image", "job", "kind", "level",
        "licence", "metric", "model", "note", "operator", "outcome", "part", "path", "published",
        "remark", "representation", "revision", "rule", "seeds", "settings", "sha256", "size",
        "source", "specs", "split", "stage", "status", "task", "versions", "weights", "without",
    }
)  # fmt: skip
_MISSING: Final = ("", "nan")  # a number that is not known


def read_table(path: Path | str, text: Collection[str] = TEXT) -> pd.DataFrame:
    """Read a CSV table that this package wrote.

    The columns of `text` are strings, letter by letter: `001`, `1e3`, `NA` and `True` are names
    there, and an empty cell is the empty string. All other columns are numbers, NaN where a cell
    is empty. A table without rows has columns without a type.

    Raises MeasurementError naming the file where it is no such table: not UTF-8, not CSV, or with
    text in a column that is not one of `text`.
    """
    try:
        names = pd.read_csv(path, nrows=0).columns
        numbers = [name for name in names if name not in text]
        frame = pd.read_csv(
            path,
            dtype={name: "str" for name in names if name in text},
            keep_default_na=False,
            na_values=dict.fromkeys(numbers, _MISSING),
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise MeasurementError(f"{path}: not a table: {error}") from error
    if not isinstance(
        frame.index, pd.RangeIndex
    ):  # pandas takes the first values for names of rows
        raise MeasurementError(
            f"{path}: not a table: lines have more values than there are columns"
        )
    for name in numbers:
        if len(frame) and not pd.api.types.is_numeric_dtype(frame[name]):
            known = "text columns are listed in icmbench.core.typed_csv.TEXT"
            what = f"column {name} holds text instead of numbers"
            raise MeasurementError(f"{path}: not a table: {what} ({known})")
    return frame
