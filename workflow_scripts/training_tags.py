"""Tag the images of one shard of a training set."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.training_tags import training_tags

with log_to(snakemake.log[0]):
    training_tags(**job_arguments(training_tags, snakemake))
