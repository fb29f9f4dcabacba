"""Join the annotations of a data set."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.annotations import annotations

with log_to(snakemake.log[0]):
    annotations(**job_arguments(annotations, snakemake))
