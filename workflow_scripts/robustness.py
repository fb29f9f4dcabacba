"""Decode damaged streams of a codec entry."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.robustness import robustness

with log_to(snakemake.log[0]):
    robustness(**job_arguments(robustness, snakemake))
