"""Write the table of a task on decoded latents."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.latent_tasks import latent_tasks

with log_to(snakemake.log[0]):
    latent_tasks(**job_arguments(latent_tasks, snakemake))
