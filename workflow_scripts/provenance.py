"""Versions, hardware, configuration, and the settings of every codec."""

from pathlib import Path

from icmbench.files import write_json
from icmbench.joblog import log_to
from icmbench.reporting.csv_files import write_csv
from icmbench.reporting.provenance import codecs_table, provenance

with log_to(snakemake.log[0]):
    config = snakemake.params.config
    weights = snakemake.params.weights
    found = provenance(config, Path(snakemake.scriptdir), snakemake.params.unavailable, weights)
    write_json(snakemake.output.provenance, found)
    write_csv(codecs_table(config, weights), Path(snakemake.output.codecs))
