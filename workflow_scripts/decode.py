"""Decode the streams of one shard."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.decode import decode

with log_to(snakemake.log[0]):
    decode(**job_arguments(decode, snakemake))
