"""Draw reconstructions of Diff-ICMH at every rate, and samples of its prior."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.diffusion_pictures import diffusion_pictures

with log_to(snakemake.log[0]):
    diffusion_pictures(**job_arguments(diffusion_pictures, snakemake))
