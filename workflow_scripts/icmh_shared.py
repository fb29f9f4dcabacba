"""Put what all folders of Diff-ICMH's model share into each."""

from pathlib import Path

from icmbench.core.files import write_bytes
from icmbench.core.joblog import log_to

with log_to(snakemake.log[0]):
    files = {Path(path).name: Path(path) for path in snakemake.input}
    for path in [snakemake.output.autoencoder, *snakemake.output.variants]:
        write_bytes(path, files[Path(path).name].read_bytes())
