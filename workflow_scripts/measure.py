"""Measure the reconstructions of one shard."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.measure import measure

with log_to(snakemake.log[0]):
    measure(**job_arguments(measure, snakemake))
