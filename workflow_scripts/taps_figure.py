"""Draw taps of the VGG and their spectra."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.taps_figure import taps_figure

with log_to(snakemake.log[0]):
    taps_figure(**job_arguments(taps_figure, snakemake))
