"""Cluster the training set's patches."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.pseudo_labels import pseudo_labels

with log_to(snakemake.log[0]):
    pseudo_labels(**job_arguments(pseudo_labels, snakemake))
