"""The weight of one guide: BD-rates against none, and a figure per data set."""

from pathlib import Path

from icmbench.core.joblog import log_to
from icmbench.core.typed_csv import read_table
from icmbench.metrics import METRICS
from icmbench.reporting.figures.style import save
from icmbench.reporting.figures.sweep import sweep_figure
from icmbench.reporting.tables.alpha_sweep import alpha_sweep_table, chosen_weight, sweep_rows
from icmbench.reporting.tables.csv_files import write_csv

with log_to(snakemake.log[0]):
    params, out = snakemake.params, snakemake.output
    table = alpha_sweep_table(read_table(snakemake.input.bd_rate), params.weights, params.anchor)
    write_csv(table, Path(out.table))
    rows = sweep_rows(table, [METRICS[name] for name in params.metrics])
    for stem in sorted({Path(path).with_suffix("") for path in out.figures}):
        guide, chosen = snakemake.wildcards.guide, chosen_weight(table)
        dataset = stem.name.removeprefix(f"alpha_sweep_{guide}_")
        here = rows[rows["dataset"] == dataset]
        # A data set on which the chosen weight has no value is drawn without the mark.
        mark = chosen if chosen in set(here["alpha"]) else None
        title = f"Weight of the guide {guide}, {dataset}"
        save(sweep_figure(here, mark, title=title), stem)
