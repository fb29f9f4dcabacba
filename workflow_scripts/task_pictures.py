"""Draw predictions for the original and for every codec."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.task_pictures import task_pictures

with log_to(snakemake.log[0]):
    task_pictures(**job_arguments(task_pictures, snakemake))
