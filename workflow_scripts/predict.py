"""Run task models on the reconstructions of one shard."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.predict import predict

with log_to(snakemake.log[0]):
    predict(**job_arguments(predict, snakemake))
