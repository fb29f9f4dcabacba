"""Versions, hardware, configuration, and the settings of every codec."""

from pathlib import Path

from icmbench.core.files import write_json
from icmbench.core.joblog import log_to
from icmbench.reporting.report.provenance import codecs_table, provenance
from icmbench.reporting.tables.csv_files import write_csv

with log_to(snakemake.log[0]):
    config = snakemake.params.config
    weights = snakemake.params.weights
    found = provenance(config, Path(snakemake.scriptdir), snakemake.params.unavailable, weights)
    write_json(snakemake.output.provenance, found)
    write_csv(codecs_table(config, weights), Path(snakemake.output.codecs))
