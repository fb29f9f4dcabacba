"""Draw reconstructions of every codec at about the same rate."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.visual_comparison import visual_comparison

with log_to(snakemake.log[0]):
    visual_comparison(**job_arguments(visual_comparison, snakemake))
