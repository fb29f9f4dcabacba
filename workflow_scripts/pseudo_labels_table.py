"""The clusters of every kind of descriptors in one table."""

import pandas as pd

from icmbench.joblog import log_to
from icmbench.reporting.csv_files import write_csv
from icmbench.tables import read_table

with log_to(snakemake.log[0]):
    parts = [read_table(path) for path in snakemake.input]
    write_csv(pd.concat(parts, ignore_index=True), snakemake.output[0])
