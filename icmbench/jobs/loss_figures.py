"""Loss curves of every training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from icmbench.core.typed_csv import read_table
from icmbench.jobs.figures import save_figure
from icmbench.reporting.figures.loss import loss_curves


def loss_figures(
    *, drawn: Mapping[str, str], histories: Sequence[Path], figures: Sequence[Path]
) -> None:
    """Draw the losses of every training over its steps.

    Args:
        drawn: figure -> network, in the order of `histories`.
        figures: the files to write.
    """
    for (name, network), history in zip(drawn.items(), histories, strict=True):
        save_figure(name, loss_curves(read_table(history, ()), network), figures)
