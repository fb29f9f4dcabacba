"""Import a published checkpoint of CompressAI's zoo."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.import_zoo import import_zoo

with log_to(snakemake.log[0]):
    import_zoo(**job_arguments(import_zoo, snakemake))
