"""Damage the streams of a codec's middle point and decode what is left."""

from pathlib import Path

from icmbench.core.joblog import log_to
from icmbench.evaluation.robustness import Shard, choose_subjects, damage_trials, write_trials
from icmbench.evaluation.shard import make_codec_entry

with log_to(snakemake.log[0]):
    files, chosen = snakemake.input, snakemake.params.robustness
    shards = [
        Shard(*map(Path, paths))
        for paths in zip(files.records, files.images, files.streams, strict=True)
    ]
    frame = damage_trials(
        make_codec_entry(snakemake.wildcards.codec, snakemake.params.settings),
        snakemake.wildcards.dataset,
        choose_subjects(shards, snakemake.params.split, chosen["images"]),
        trials=chosen["trials"],
        seed=chosen["seed"],
        seconds=chosen["seconds"],
    )
    write_trials(Path(snakemake.output[0]), frame)
