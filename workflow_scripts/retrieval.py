"""Tabulate and draw patch retrieval on held-out scenes."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.retrieval import retrieval

with log_to(snakemake.log[0]):
    retrieval(**job_arguments(retrieval, snakemake))
