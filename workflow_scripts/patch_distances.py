"""Compute FID and KID of a codec entry."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.patch_distances import patch_distances

with log_to(snakemake.log[0]):
    patch_distances(**job_arguments(patch_distances, snakemake))
