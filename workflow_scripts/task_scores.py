"""Score one task on one data set."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.task_scores import task_scores

with log_to(snakemake.log[0]):
    task_scores(**job_arguments(task_scores, snakemake))
