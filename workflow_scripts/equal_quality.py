"""Write the table of bytes at equal quality."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.equal_quality import equal_quality

with log_to(snakemake.log[0]):
    equal_quality(**job_arguments(equal_quality, snakemake))
