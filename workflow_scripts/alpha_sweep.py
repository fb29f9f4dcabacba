"""Tabulate and draw a sweep of the weight of clustering features."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.alpha_sweep import alpha_sweep

with log_to(snakemake.log[0]):
    alpha_sweep(**job_arguments(alpha_sweep, snakemake))
