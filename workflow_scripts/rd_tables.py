"""Write the tables of rates, distortions, failures and remarks."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.rd_tables import rd_tables

with log_to(snakemake.log[0]):
    rd_tables(**job_arguments(rd_tables, snakemake))
