"""Tabulate and draw means of MPD's levels."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.mpd_states_table import mpd_states_table

with log_to(snakemake.log[0]):
    mpd_states_table(**job_arguments(mpd_states_table, snakemake))
