"""Tabulate and draw the cost of Diff-ICMH."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.complexity import complexity

with log_to(snakemake.log[0]):
    complexity(**job_arguments(complexity, snakemake))
