"""Decode the streams of one shard in a process that sees nothing else."""

from pathlib import Path

from icmbench.coding.decode import decode_shard
from icmbench.coding.shard import make_family
from icmbench.coding.sharing import shared_of
from icmbench.joblog import log_to

with log_to(snakemake.log[0]):
    decode_shard(
        make_family(snakemake.wildcards.codec, snakemake.params.settings),
        snakemake.wildcards.dataset,
        streams=Path(snakemake.input.streams),
        encoded=Path(snakemake.input.status),
        pictures=Path(snakemake.output.pictures),
        status=Path(snakemake.output.status),
        timing=Path(snakemake.output.timing),
        shared=shared_of(snakemake.params.get("shared", {}), snakemake.input.get("shared", [])),
    )
