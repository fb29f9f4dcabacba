"""Pack remotely decoded reconstructions."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.pack_pictures import pack_pictures

with log_to(snakemake.log[0]):
    pack_pictures(**job_arguments(pack_pictures, snakemake))
