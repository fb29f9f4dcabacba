"""Encode the images of one shard at every encoding of a codec entry."""

from pathlib import Path

from icmbench.core.joblog import log_to
from icmbench.datasets.manifest import read_records, usable
from icmbench.evaluation.encode import encode_shard
from icmbench.evaluation.shard import make_codec_entry
from icmbench.evaluation.sharing import shared_of

with log_to(snakemake.log[0]):
    records = read_records(Path(snakemake.input.records))
    encode_shard(
        make_codec_entry(snakemake.wildcards.codec, snakemake.params.settings),
        snakemake.wildcards.dataset,
        usable(records, snakemake.params.split),
        Path(snakemake.input.images),
        streams=Path(snakemake.output.streams),
        status=Path(snakemake.output.status),
        timing=Path(snakemake.output.timing),
        shared=shared_of(snakemake.params.get("shared", {}), snakemake.input.get("shared", [])),
    )
