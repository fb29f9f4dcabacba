"""Predict from the latents of the originals of one shard."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.predict_latents import predict_latent_originals

with log_to(snakemake.log[0]):
    predict_latent_originals(**job_arguments(predict_latent_originals, snakemake))
