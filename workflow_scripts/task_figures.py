"""Draw task accuracy against rate."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.task_figures import task_figures

with log_to(snakemake.log[0]):
    task_figures(**job_arguments(task_figures, snakemake))
