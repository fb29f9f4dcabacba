"""Run task models on the originals of one shard."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.predict import predict_originals

with log_to(snakemake.log[0]):
    predict_originals(**job_arguments(predict_originals, snakemake))
