"""The replacement operators of mmcv against a full mmcv's."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from icmbench.reporting.tables.csv_files import write_csv
from icmbench.tasks.backends.mmcv_check import COLUMNS, compare_operators


def mmcv_check(*, table: Path) -> None:
    """Tabulate the differences of every operator; needs a full mmcv."""
    from mmcv import _ext

    write_csv(pd.DataFrame(compare_operators(_ext), columns=list(COLUMNS)), table)
