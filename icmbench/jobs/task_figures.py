"""Task accuracy against rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from icmbench.core.typed_csv import read_table
from icmbench.jobs.figures import save_figure
from icmbench.reporting.figures.task_curves import task_curves
from icmbench.reporting.figures.task_objects import task_objects


def task_figures(
    *,
    drawn: Mapping[str, tuple[str, str, str]],
    names: Mapping[str, str],
    tasks: Path,
    figures: Sequence[Path],
    published: Path | None = None,
) -> None:
    """Draw task scores against rate, and missed and hallucinated objects of detectors.

    Args:
        drawn: figure -> kind (`task_curves` or `task_objects`), data set and task.
        names: codec entry -> its name in the legend.
        tasks: the table of all scores.
        figures: the files to write.
        published: the table of published points; None: there are none.
    """
    table = read_table(tasks)
    others = read_table(published) if published else None
    for name, (kind, dataset, task) in drawn.items():
        if kind == "task_curves":
            figure = task_curves(table, dataset, task, names, others)
        else:
            figure = task_objects(table, dataset, task)
        save_figure(name, figure, figures)
