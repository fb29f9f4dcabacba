"""Write the card of the task models."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.task_card import task_card

with log_to(snakemake.log[0]):
    task_card(**job_arguments(task_card, snakemake))
