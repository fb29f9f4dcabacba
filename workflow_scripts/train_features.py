"""Copy the bundled contrastive features, or train them."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.bundled_or_trained import TrainingJob, bundled_or_trained
from icmbench.jobs.train_features import train_features

with log_to(snakemake.log[0]):
    bundled_or_trained(train_features, TrainingJob(**job_arguments(TrainingJob, snakemake)))
