"""Rate-distortion figures of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from icmbench.core.typed_csv import read_table
from icmbench.jobs.figures import save_figure
from icmbench.metrics import METRICS
from icmbench.reporting.figures.bd_heatmap import bd_heatmap
from icmbench.reporting.figures.rate_time import rate_time
from icmbench.reporting.figures.rd_curves import rd_curves


def rate_figures(
    dataset: str,
    *,
    metrics: Sequence[str],
    anchors: Sequence[str],
    names: Mapping[str, str],
    rd: Path,
    bd_rate: Path,
    timing: Path,
    figures: Sequence[Path],
) -> None:
    """Draw RD curves, rate against time, and a heat map of BD-rates per anchor.

    Args:
        names: codec entry -> its name in the legend.
        rd, bd_rate, timing: tables.
        figures: the files to write.
    """
    shown = [METRICS[name] for name in metrics]
    rates, bd_rates = read_table(rd), read_table(bd_rate)
    drawn = {
        f"rd_{dataset}": rd_curves(rates, dataset, shown, names),
        f"rate_time_{dataset}": rate_time(read_table(timing), rates, dataset),
    }
    for anchor in anchors:
        drawn[f"bd_{anchor}_{dataset}"] = bd_heatmap(bd_rates, dataset, anchor, shown)
    for name, figure in drawn.items():
        save_figure(name, figure, figures)
