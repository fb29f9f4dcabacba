"""Write the table and figures of FID and KID."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.distribution_table import distribution_table

with log_to(snakemake.log[0]):
    distribution_table(**job_arguments(distribution_table, snakemake))
