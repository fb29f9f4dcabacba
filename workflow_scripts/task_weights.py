"""Weights of a task model that its entry gives by URL and checksum."""

from pathlib import Path

from icmbench.core.joblog import log_to
from icmbench.datasets.download import download

with log_to(snakemake.log[0]):
    url, sha256 = snakemake.params.source
    download(url, Path(snakemake.output[0]), sha256)
