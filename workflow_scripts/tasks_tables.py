"""Scores, BD-rates and failures of all tasks and data sets: one table each."""

from pathlib import Path

import pandas as pd

from icmbench.joblog import log_to
from icmbench.reporting.csv_files import write_csv
from icmbench.tables import read_table

with log_to(snakemake.log[0]):
    for key, out in (("scores", "tasks"), ("bd_rate", "bd_rate"), ("failures", "failures")):
        parts = [read_table(path) for path in snakemake.input[key]]
        write_csv(pd.concat(parts, ignore_index=True), Path(snakemake.output[out]))
