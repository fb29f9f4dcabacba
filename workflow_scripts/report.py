"""Write the report."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.report import report

with log_to(snakemake.log[0]):
    report(**job_arguments(report, snakemake))
