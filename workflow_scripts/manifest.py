"""Join the lists of all shards into the manifest."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.manifest import manifest

with log_to(snakemake.log[0]):
    manifest(**job_arguments(manifest, snakemake))
