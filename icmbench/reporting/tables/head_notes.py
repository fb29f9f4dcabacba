"""Notes on files of which a large part is the format's head: small pictures at low rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pandas as pd

LEAST: Final = 0.1  # share of a file from which its head is noted


def head_notes(
    table: pd.DataFrame, measurements: pd.DataFrame, heads: Mapping[str, int]
) -> list[str]:
    """A note for every row of `table` of whose mean file the head takes a tenth or more, else ''.

    The head is coded once a file, so its share of the rate falls with the number of pixels.

    Args:
        table: rows of `rd_table`.
        measurements: of the same run; rows with the status `ok` count.
        heads: fixed bytes of a file by codec entry (`Codec.head_bytes`); others have none.
    """
    keys = ["dataset", "family", "codec"]
    coded = measurements[measurements["status"] == "ok"]
    sizes = coded.groupby(keys, observed=True)["bytes"].mean().to_dict()
    return [
        _note(heads.get(row["family"], 0), float(sizes.get(tuple(row[k] for k in keys), 0)))
        for row in table.to_dict("records")
    ]


def _note(head: int, size: float) -> str:
    if not head or size <= 0 or head < LEAST * size:
        return ""
    return f"{100 * head / size:.0f} % of the bytes are the file's head"


def joined(*columns: Sequence[str]) -> list[str]:
    """The notes of several columns, row by row."""
    return ["; ".join(filter(None, notes)) for notes in zip(*columns, strict=True)]
