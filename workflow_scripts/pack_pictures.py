"""Pack what was decoded elsewhere, to be sent home."""

from pathlib import Path

from icmbench.elsewhere.packed import pack_pictures
from icmbench.joblog import log_to

with log_to(snakemake.log[0]):
    pack_pictures(snakemake.params.config, Path(snakemake.output[0]), Path(snakemake.scriptdir))
