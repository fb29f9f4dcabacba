"""Write the table of seconds per image and codec spec."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.timing_table import timing_table

with log_to(snakemake.log[0]):
    timing_table(**job_arguments(timing_table, snakemake))
