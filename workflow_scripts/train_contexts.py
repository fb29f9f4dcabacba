"""Copy the bundled context tables of MPD, or count them."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.bundled_or_trained import TrainingJob, bundled_or_trained
from icmbench.jobs.train_contexts import train_contexts

with log_to(snakemake.log[0]):
    bundled_or_trained(train_contexts, TrainingJob(**job_arguments(TrainingJob, snakemake)))
