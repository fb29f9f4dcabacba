"""Write the card of Diff-ICMH's model folder."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.icmh_card import icmh_card

with log_to(snakemake.log[0]):
    icmh_card(**job_arguments(icmh_card, snakemake))
