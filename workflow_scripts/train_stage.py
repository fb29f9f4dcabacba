"""Copy the codec and control network of Diff-ICMH, or train a stage."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.bundled_or_trained import TrainingJob, bundled_or_trained
from icmbench.jobs.train_stage import train_stage

with log_to(snakemake.log[0]):
    bundled_or_trained(train_stage, TrainingJob(**job_arguments(TrainingJob, snakemake)))
