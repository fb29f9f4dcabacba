"""Provide the images of one source of the training pool."""

from pathlib import Path

from icmbench.config.training import make_pool_source, training_records
from icmbench.core.joblog import log_to
from icmbench.datasets.manifest import provide_shard, write_records

with log_to(snakemake.log[0]):
    name, params = snakemake.wildcards.source, snakemake.params
    results = Path(snakemake.config["results"])
    source = make_pool_source(name, params.entry, Path(params.downloads), results)
    records = provide_shard(source, 0, 1, Path(snakemake.output.images))
    write_records(Path(snakemake.output.records), training_records(source, records))
