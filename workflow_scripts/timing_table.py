"""Median seconds per image and codec string."""

from pathlib import Path

import pandas as pd

from icmbench.core.joblog import log_to
from icmbench.core.typed_csv import read_table
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.reporting.tables.timing import encodings, timing_table

with log_to(snakemake.log[0]):
    columns = ["codec", "encoding"]
    rows = [pd.read_parquet(path, columns=columns) for path in snakemake.input.measurements]
    parts = [read_table(path) for path in snakemake.input.parts]
    filled = [part for part in parts if len(part)] or parts[:1]
    table = timing_table(
        pd.concat(filled, ignore_index=True), encodings(pd.concat(rows, ignore_index=True))
    )
    write_csv(table, Path(snakemake.output[0]))
