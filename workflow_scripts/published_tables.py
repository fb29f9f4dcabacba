"""Write the tables of published points and of BD-rates against them."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.published_tables import published_tables

with log_to(snakemake.log[0]):
    published_tables(**job_arguments(published_tables, snakemake))
