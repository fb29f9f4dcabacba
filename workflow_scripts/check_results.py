"""Write the verdict on the run, or fail."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.check_results import check_results

with log_to(snakemake.log[0]):
    check_results(**job_arguments(check_results, snakemake))
