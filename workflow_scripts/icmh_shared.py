"""Copy weight files that model folders of Diff-ICMH share."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.icmh_shared import icmh_shared

with log_to(snakemake.log[0]):
    icmh_shared(**job_arguments(icmh_shared, snakemake))
