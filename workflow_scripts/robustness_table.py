"""Tabulate and draw the outcomes of damaged streams."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.robustness_table import robustness_table

with log_to(snakemake.log[0]):
    robustness_table(**job_arguments(robustness_table, snakemake))
