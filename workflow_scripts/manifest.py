"""Join the shards' lists into the manifest."""

from pathlib import Path

from icmbench.core.joblog import log_to
from icmbench.datasets.manifest import read_records, write_records

with log_to(snakemake.log[0]):
    records = [record for path in snakemake.input.shards for record in read_records(Path(path))]
    write_records(Path(snakemake.output.manifest), records)
