"""Draw palette hierarchies of single images."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.palette_hierarchy import palette_hierarchy

with log_to(snakemake.log[0]):
    palette_hierarchy(**job_arguments(palette_hierarchy, snakemake))
