"""Train the head of a task on decoded latents."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.bundled_or_trained import TrainingJob, bundled_or_trained
from icmbench.jobs.train_latent_head import train_latent_head

with log_to(snakemake.log[0]):
    bundled_or_trained(train_latent_head, TrainingJob(**job_arguments(TrainingJob, snakemake)))
