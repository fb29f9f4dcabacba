"""The stand-in for mmcv's operators against a full mmcv's."""

from pathlib import Path

import pandas as pd

from icmbench.core.joblog import log_to
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.tasks.backends.mmcv_check import COLUMNS, compare_operators

with log_to(snakemake.log[0]):
    from mmcv import _ext

    table = pd.DataFrame(compare_operators(_ext), columns=list(COLUMNS))
    write_csv(table, Path(snakemake.output[0]))
