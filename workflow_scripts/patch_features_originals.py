"""Compute the patch features of a shard's originals."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.patch_features import patch_features_originals

with log_to(snakemake.log[0]):
    patch_features_originals(**job_arguments(patch_features_originals, snakemake))
