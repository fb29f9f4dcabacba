"""Compute the patch features of a shard's reconstructions."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.patch_features import patch_features

with log_to(snakemake.log[0]):
    patch_features(**job_arguments(patch_features, snakemake))
