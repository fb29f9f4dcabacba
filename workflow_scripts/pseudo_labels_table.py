"""The clusters of every kind of descriptors in one table."""

import pandas as pd

from icmbench.joblog import log_to
from icmbench.reporting.csv_files import write_csv

with log_to(snakemake.log[0]):
    parts = [pd.read_csv(path, dtype=str, keep_default_na=False) for path in snakemake.input]
    write_csv(pd.concat(parts, ignore_index=True), snakemake.output[0])
