"""Tabulate the stages of MPD's framework for some images."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.mpd_framework import mpd_framework

with log_to(snakemake.log[0]):
    mpd_framework(**job_arguments(mpd_framework, snakemake))
