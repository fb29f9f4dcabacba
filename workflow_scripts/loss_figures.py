"""The losses of every network's training over its steps."""

from pathlib import Path

from matplotlib import pyplot

from icmbench.core.joblog import log_to
from icmbench.core.typed_csv import read_table
from icmbench.reporting.figures.loss import loss_curves
from icmbench.reporting.figures.style import save

with log_to(snakemake.log[0]):
    folder = Path(snakemake.output[0]).parent
    for history in map(Path, snakemake.input):
        figure = loss_curves(read_table(history), history.stem)
        save(figure, folder / f"loss_{history.stem}")
        pyplot.close(figure)
