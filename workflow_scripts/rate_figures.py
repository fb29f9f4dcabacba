"""Draw the rate-distortion figures of a data set."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.rate_figures import rate_figures

with log_to(snakemake.log[0]):
    rate_figures(**job_arguments(rate_figures, snakemake))
