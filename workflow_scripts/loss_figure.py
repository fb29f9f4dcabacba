"""The losses of one network's training over its steps."""

from pathlib import Path

import pandas as pd

from icmbench.joblog import log_to
from icmbench.reporting.figures.loss import loss_curves
from icmbench.reporting.figures.style import save

with log_to(snakemake.log[0]):
    network = snakemake.wildcards.network
    figure = loss_curves(pd.read_csv(snakemake.input[0]), network)
    save(figure, Path(snakemake.output[0]).with_suffix(""))
