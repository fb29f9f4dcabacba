"""Provide the images of one source of the training set."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.training_pool import training_pool

with log_to(snakemake.log[0]):
    training_pool(**job_arguments(training_pool, snakemake))
