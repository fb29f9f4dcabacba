"""RD curves, BD-rate heat maps and rate against time of one data set."""

from pathlib import Path

from matplotlib import pyplot

from icmbench.core.joblog import log_to
from icmbench.core.typed_csv import read_table
from icmbench.metrics import METRICS
from icmbench.reporting.figures.bd_heatmap import bd_heatmap
from icmbench.reporting.figures.rate_time import rate_time
from icmbench.reporting.figures.rd_curves import rd_curves
from icmbench.reporting.figures.style import save

with log_to(snakemake.log[0]):
    dataset, folder = snakemake.wildcards.dataset, Path(snakemake.output[0]).parent
    metrics = [METRICS[name] for name in snakemake.params.metrics]
    rd = read_table(snakemake.input.rd)
    bd = read_table(snakemake.input.bd_rate)
    timing = read_table(snakemake.input.timing)
    figures = {
        f"rd_{dataset}": rd_curves(rd, dataset, metrics, snakemake.params.names),
        f"rate_time_{dataset}": rate_time(timing, rd, dataset),
    }
    for anchor in snakemake.params.anchors:
        figures[f"bd_{anchor}_{dataset}"] = bd_heatmap(bd, dataset, anchor, metrics)
    for stem, figure in figures.items():
        save(figure, folder / stem)
        pyplot.close(figure)
