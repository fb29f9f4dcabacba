"""Copy a bundled task model, or train one."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.bundled_or_trained import TrainingJob, bundled_or_trained
from icmbench.jobs.train_task import train_task

with log_to(snakemake.log[0]):
    bundled_or_trained(train_task, TrainingJob(**job_arguments(TrainingJob, snakemake)))
