"""Writing of figures at the paths that a rule declares."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from matplotlib import pyplot
from matplotlib.figure import Figure

from icmbench.reporting.figures.style import declared_stem, save


def save_figure(name: str, figure: Figure, declared: Iterable[Path]) -> None:
    """Write and close a figure where a rule's outputs have its name.

    Raises MeasurementError for a figure that the rule does not declare.
    """
    save(figure, declared_stem([str(path) for path in declared], name))
    pyplot.close(figure)
