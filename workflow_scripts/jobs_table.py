"""Write the tables of jobs and of the revisions of their code."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.jobs_table import jobs_table

with log_to(snakemake.log[0]):
    jobs_table(**job_arguments(jobs_table, snakemake))
