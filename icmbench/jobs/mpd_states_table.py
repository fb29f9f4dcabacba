"""Means of the levels of MPD's embedded streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.jobs.figures import save_figure
from icmbench.reporting.figures.bit_shares import bit_shares
from icmbench.reporting.figures.states import states_figure
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.studies.states import read_states, states_table


def mpd_states_table(
    *,
    datasets: Sequence[str],
    bootstrap: Mapping[str, Any],
    states: Sequence[Path],
    table: Path,
    figures: Sequence[Path],
) -> None:
    """Tabulate means of MPD's levels; draw distortion against rate, and the shares of bits.

    Args:
        states: tables of all shards.
        table, figures: the files to write.
    """
    rows = read_states(states)
    found = states_table(rows, resamples=bootstrap["resamples"], seed=bootstrap["seed"])
    write_csv(found, table)
    for dataset in datasets:
        save_figure(f"states_{dataset}", states_figure(found, dataset), figures)
        save_figure(f"bit_shares_{dataset}", bit_shares(rows, dataset), figures)
