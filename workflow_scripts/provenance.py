"""Write the run's provenance and the settings of its codecs."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.provenance import provenance

with log_to(snakemake.log[0]):
    provenance(**job_arguments(provenance, snakemake))
