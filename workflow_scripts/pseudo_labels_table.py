"""The clusters of every kind of descriptors in one table."""

import pandas as pd

from icmbench.core.joblog import log_to
from icmbench.core.typed_csv import read_table
from icmbench.reporting.tables.csv_files import write_csv

with log_to(snakemake.log[0]):
    parts = [read_table(path) for path in snakemake.input]
    write_csv(pd.concat(parts, ignore_index=True), snakemake.output[0])
