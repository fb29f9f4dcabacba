"""Copy the bundled tagger, or train one."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.bundled_or_trained import TrainingJob, bundled_or_trained
from icmbench.jobs.train_prior import train_tagger

with log_to(snakemake.log[0]):
    bundled_or_trained(train_tagger, TrainingJob(**job_arguments(TrainingJob, snakemake)))
