"""Compare features of originals and reconstructions of one shard."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.feature_gap_shard import feature_gap_shard

with log_to(snakemake.log[0]):
    feature_gap_shard(**job_arguments(feature_gap_shard, snakemake))
