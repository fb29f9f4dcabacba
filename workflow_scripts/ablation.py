"""Compare a codec without each ingredient with the full one."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.ablation import ablation

with log_to(snakemake.log[0]):
    ablation(**job_arguments(ablation, snakemake))
