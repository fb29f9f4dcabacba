"""Download a weight file of a task model."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.task_weights import task_weights

with log_to(snakemake.log[0]):
    task_weights(**job_arguments(task_weights, snakemake))
