"""Scores, BD-rates and failures of all tasks and data sets: one table each."""

from pathlib import Path

import pandas as pd

from icmbench.core.joblog import log_to
from icmbench.core.typed_csv import read_table
from icmbench.reporting.tables.csv_files import write_csv

with log_to(snakemake.log[0]):
    for key, out in (("scores", "tasks"), ("bd_rate", "bd_rate"), ("failures", "failures")):
        parts = [read_table(path) for path in snakemake.input[key]]
        write_csv(pd.concat(parts, ignore_index=True), Path(snakemake.output[out]))
