"""Fine-tune a task model on the reconstructions of a codec."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.adapt_task import adapt_task
from icmbench.jobs.bundled_or_trained import TrainingJob, bundled_or_trained

with log_to(snakemake.log[0]):
    bundled_or_trained(adapt_task, TrainingJob(**job_arguments(TrainingJob, snakemake)))
