"""Compare codecs at equal rate."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.paired_table import paired_table

with log_to(snakemake.log[0]):
    paired_table(**job_arguments(paired_table, snakemake))
