"""Accuracy against rate of every task and data set; what detectors miss and what they invent."""

from pathlib import Path

from matplotlib import pyplot

from icmbench.core.joblog import log_to
from icmbench.core.typed_csv import read_table
from icmbench.reporting.figures.style import save
from icmbench.reporting.figures.task_curves import task_curves
from icmbench.reporting.figures.task_objects import task_objects

DRAW = {"task_curves": task_curves, "task_objects": task_objects}

with log_to(snakemake.log[0]):
    tasks = read_table(snakemake.input.tasks)
    folder = Path(snakemake.output[0]).parent
    for name, (kind, dataset, task) in snakemake.params.figures.items():
        named = {"names": snakemake.params.names} if kind == "task_curves" else {}
        figure = DRAW[kind](tasks, dataset, task, **named)
        save(figure, folder / name)
        pyplot.close(figure)
