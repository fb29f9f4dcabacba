"""What the MPD streams of one shard hold, state by state."""

from pathlib import Path

from icmbench.core.joblog import log_to
from icmbench.datasets.manifest import read_records, usable
from icmbench.evaluation.shard import make_codec_entry
from icmbench.studies.states import write_states

with log_to(snakemake.log[0]):
    files = snakemake.input
    write_states(
        make_codec_entry(snakemake.wildcards.codec, snakemake.params.settings),
        snakemake.wildcards.dataset,
        usable(read_records(Path(files.records)), snakemake.params.split),
        Path(files.images),
        streams=Path(files.streams),
        out=Path(snakemake.output[0]),
    )
