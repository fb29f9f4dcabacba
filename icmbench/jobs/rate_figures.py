"""Figures of a data set that derive from the tables of rates, BD-rates and timing alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.core.typed_csv import read_table
from icmbench.jobs.figures import save_figure
from icmbench.metrics import METRICS
from icmbench.reporting.drawing import draw


def rate_figures(
    dataset: str,
    *,
    drawn: Mapping[str, tuple[str, Mapping[str, Any]]],
    metrics: Sequence[str],
    names: Mapping[str, str],
    rd: Path,
    bd_rate: Path,
    timing: Path,
    figures: Sequence[Path],
    published: Path | None = None,
) -> None:
    """Draw the figures of the catalogue that name a function (`Artefact.draw`).

    Each function gets those of the tables, data set, metrics, names and values that it has
    parameters for.

    Args:
        drawn: figure, with `{dataset}` in its name -> its function, and the values of its other
            wildcards.
        names: codec entry -> its name in the legend.
        rd, bd_rate, timing, published: tables; None: the run has no published points.
        figures: the files to write.
    """
    tables = {"rd": rd, "bd_rate": bd_rate, "timing": timing, "published": published}
    given: dict[str, Any] = {n: read_table(path) for n, path in tables.items() if path}
    given |= {"dataset": dataset, "names": names, "metrics": [METRICS[name] for name in metrics]}
    for pattern, (function, values) in drawn.items():
        figure = draw(function, {**given, **values})
        save_figure(pattern.format(dataset=dataset), figure, figures)
