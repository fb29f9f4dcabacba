"""The sweep of the weight of one kind of clustering features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from icmbench.core.typed_csv import read_table
from icmbench.jobs.figures import save_figure
from icmbench.metrics import METRICS
from icmbench.reporting.figures.sweep import sweep_figure
from icmbench.reporting.tables.alpha_sweep import alpha_sweep_table, chosen_weight, sweep_rows
from icmbench.reporting.tables.csv_files import write_csv


def alpha_sweep(
    guide: str,
    *,
    weights: Mapping[str, float],
    anchor: str,
    metrics: Sequence[str],
    drawn: Mapping[str, str],
    bd_rate: Path,
    table: Path,
    figures: Sequence[Path],
) -> None:
    """Tabulate and draw BD-rates over the weights of clustering features, against weight 0.

    Args:
        guide: kind of the clustering features.
        weights: codec entry -> weight.
        anchor: the entry of weight 0.
        drawn: figure -> data set.
        bd_rate: the table of BD-rates.
        table, figures: the files to write.
    """
    found = alpha_sweep_table(read_table(bd_rate), weights, anchor)
    write_csv(found, table)
    rows, chosen = sweep_rows(found, [METRICS[name] for name in metrics]), chosen_weight(found)
    for name, dataset in drawn.items():
        here = rows[rows["dataset"] == dataset]
        # The mark is left out for a data set on which the chosen weight has no value.
        mark = chosen if chosen in set(here["alpha"]) else None
        title = f"Weight of the clustering features {guide}, {dataset}"
        save_figure(name, sweep_figure(here, mark, title=title), figures)
