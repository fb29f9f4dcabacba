"""Task accuracy against rate, and beside that of adapted models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.core.typed_csv import read_table
from icmbench.jobs.figures import save_figure
from icmbench.reporting.figures.adapted import adapted_curves
from icmbench.reporting.figures.task_curves import task_curves
from icmbench.reporting.figures.task_objects import task_objects


def task_figures(
    *,
    drawn: Mapping[str, tuple[str, str, str]],
    names: Mapping[str, str],
    tasks: Path,
    figures: Sequence[Path],
    adapted: Mapping[str, Mapping[str, Any]],
    published: Path | None = None,
) -> None:
    """Draw task scores against rate, and missed and hallucinated objects of detectors.

    Args:
        drawn: figure -> kind (`task_curves`, `task_objects` or `adapted`), data set and task.
        adapted: of an adapted task, arguments of `adapted_curves`.
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
        elif kind == "adapted":
            figure = adapted_curves(table, dataset, task, **adapted[task])
        else:
            figure = task_objects(table, dataset, task)
        save_figure(name, figure, figures)
