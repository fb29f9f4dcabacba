"""Encode the images of one shard."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.encode import encode

with log_to(snakemake.log[0]):
    encode(**job_arguments(encode, snakemake))
