"""Tabulate and draw feature gaps."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.feature_gap import feature_gap

with log_to(snakemake.log[0]):
    feature_gap(**job_arguments(feature_gap, snakemake))
