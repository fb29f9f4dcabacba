"""Draw the loss curves of every training."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.loss_figures import loss_figures

with log_to(snakemake.log[0]):
    loss_figures(**job_arguments(loss_figures, snakemake))
