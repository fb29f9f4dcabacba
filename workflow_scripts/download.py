"""Fetch the published files of a source."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.download import download

with log_to(snakemake.log[0]):
    download(**job_arguments(download, snakemake))
