"""Draw clusters of descriptors on the coded data sets."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.clusters_figure import clusters_figure

with log_to(snakemake.log[0]):
    clusters_figure(**job_arguments(clusters_figure, snakemake))
