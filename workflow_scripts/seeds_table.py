"""Write the table of spreads over the seeds of stochastic decoders."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.seeds_table import seeds_table

with log_to(snakemake.log[0]):
    seeds_table(**job_arguments(seeds_table, snakemake))
