"""Means of the MPD states, and their figures: distortion and rate, shares of the bits."""

from pathlib import Path

from matplotlib import pyplot

from icmbench.core.joblog import log_to
from icmbench.reporting.figures.bit_shares import bit_shares
from icmbench.reporting.figures.states import states_figure
from icmbench.reporting.figures.style import save
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.studies.states import read_states, states_table

with log_to(snakemake.log[0]):
    params, out = snakemake.params, snakemake.output
    rows = read_states([Path(path) for path in snakemake.input.states])
    table = states_table(
        rows, resamples=params.bootstrap["resamples"], seed=params.bootstrap["seed"]
    )
    write_csv(table, Path(out.table))
    folder = Path(out.figures[0]).parent
    for dataset in params.datasets:
        figures = {
            f"states_{dataset}": states_figure(table, dataset),
            f"bit_shares_{dataset}": bit_shares(rows, dataset),
        }
        for stem, figure in figures.items():
            save(figure, folder / stem)
            pyplot.close(figure)
