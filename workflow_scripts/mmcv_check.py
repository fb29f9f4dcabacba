"""Compare the replacement operators with a full mmcv's."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.mmcv_check import mmcv_check

with log_to(snakemake.log[0]):
    mmcv_check(**job_arguments(mmcv_check, snakemake))
