"""Copy the bundled narrow VGG, or train one."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.bundled_or_trained import TrainingJob, bundled_or_trained
from icmbench.jobs.train_vgg import train_vgg

with log_to(snakemake.log[0]):
    bundled_or_trained(train_vgg, TrainingJob(**job_arguments(TrainingJob, snakemake)))
