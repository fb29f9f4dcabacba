"""Join the tables of pseudo-labels."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.pseudo_labels_table import pseudo_labels_table

with log_to(snakemake.log[0]):
    pseudo_labels_table(**job_arguments(pseudo_labels_table, snakemake))
