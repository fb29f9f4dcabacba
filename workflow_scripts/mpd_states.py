"""Tabulate the levels of the MPD streams of one shard."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.mpd_states import mpd_states

with log_to(snakemake.log[0]):
    mpd_states(**job_arguments(mpd_states, snakemake))
