"""Write the card of MPD's model folder."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.model_card import model_card

with log_to(snakemake.log[0]):
    model_card(**job_arguments(model_card, snakemake))
