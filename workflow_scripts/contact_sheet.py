"""Draw the contact sheet of a data set."""

from icmbench.core.job_arguments import job_arguments
from icmbench.core.joblog import log_to
from icmbench.jobs.contact_sheet import contact_sheet

with log_to(snakemake.log[0]):
    contact_sheet(**job_arguments(contact_sheet, snakemake))
