"""Predict from the decoded latents of one shard."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.predict_latents import predict_latents

with log_to(snakemake.log[0]):
    predict_latents(**job_arguments(predict_latents, snakemake))
