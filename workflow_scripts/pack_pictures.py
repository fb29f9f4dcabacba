"""Pack what was decoded elsewhere, to be sent home."""

from pathlib import Path

from icmbench.core.joblog import log_to
from icmbench.transfer.packed import pack_pictures

with log_to(snakemake.log[0]):
    pack_pictures(snakemake.params.config, Path(snakemake.output[0]), Path(snakemake.scriptdir))
