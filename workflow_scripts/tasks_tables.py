"""Join the tables of all tasks and data sets."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.tasks_tables import tasks_tables

with log_to(snakemake.log[0]):
    tasks_tables(**job_arguments(tasks_tables, snakemake))
