"""Provide the images of one shard of a data set."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.dataset_shard import dataset_shard

with log_to(snakemake.log[0]):
    dataset_shard(**job_arguments(dataset_shard, snakemake))
