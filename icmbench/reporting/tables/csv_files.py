"""CSV files that are byte-identical between runs."""

from __future__ import annotations

import csv
import io
import math
from numbers import Integral, Real
from pathlib import Path

import pandas as pd

from icmbench.core.files import write_text


def write_csv(frame: pd.DataFrame, path: Path | str) -> None:
    """Write a table atomically: UTF-8, a header line, `\\n` line ends, no index.

    Floats have six significant digits (`%.6g`, which also hides the last-bit noise of a changed
    library), without a minus sign at zero; infinity (lossless) is `inf`; a missing value is
    empty; integers and text stand as they are, quoted only where they contain a comma, a quote
    or a line end. Equal tables give equal bytes.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([str(name) for name in frame.columns])
    columns = [[format_value(value) for value in frame[name]] for name in frame.columns]
    writer.writerows(zip(*columns, strict=True))
    write_text(path, buffer.getvalue())


def format_value(value: object) -> str:
    """One cell of `write_csv`."""
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, str) or not isinstance(value, Real):
        return str(value)
    if isinstance(value, Integral):
        return str(value)
    number = float(value)
    # Adding zero turns -0.0 into 0.0; a number that rounds to zero is not among six digits.
    return "" if math.isnan(number) else f"{number + 0.0:.6g}"
