"""Provide the images of one shard of a data set."""

from pathlib import Path

from icmbench.core.joblog import log_to
from icmbench.datasets.manifest import provide_shard, write_records
from icmbench.datasets.registry import make_dataset

with log_to(snakemake.log[0]):
    name, params = snakemake.wildcards.dataset, snakemake.params
    results = Path(snakemake.config["results"])
    dataset = make_dataset(name, params.entry, Path(params.downloads), results)
    folder = Path(snakemake.output.images)
    records = provide_shard(dataset, int(snakemake.wildcards.shard), params.shards, folder)
    write_records(Path(snakemake.output.records), records)
