"""The stand-in for mmcv's operators against a full mmcv's."""

from pathlib import Path

from icmbench.joblog import log_to
from icmbench.reporting.csv_files import write_csv
from icmbench.tasks.mmcv_check import compare_operators

with log_to(snakemake.log[0]):
    from mmcv import _ext

    write_csv(compare_operators(_ext), Path(snakemake.output[0]))
