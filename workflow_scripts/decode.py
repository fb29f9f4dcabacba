"""Decode the streams of one shard in a process that sees nothing else."""

from pathlib import Path

from icmbench.core.joblog import log_to
from icmbench.evaluation.decode import decode_shard
from icmbench.evaluation.shard import make_codec_entry
from icmbench.evaluation.sharing import shared_of

with log_to(snakemake.log[0]):
    decode_shard(
        make_codec_entry(snakemake.wildcards.codec, snakemake.params.settings),
        snakemake.wildcards.dataset,
        streams=Path(snakemake.input.streams),
        encoded=Path(snakemake.input.status),
        pictures=Path(snakemake.output.pictures),
        status=Path(snakemake.output.status),
        timing=Path(snakemake.output.timing),
        shared=shared_of(snakemake.params.get("shared", {}), snakemake.input.get("shared", [])),
    )
