"""Predictions of a task drawn on the original and on the reconstructions of every codec."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from matplotlib.figure import Figure

from icmbench.reporting.figures.answers import drawing_module
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.predicted import Predicted
from icmbench.reporting.figures.style import theme
from icmbench.tasks.base import Labels, kind_of


def task_pictures(seen: Sequence[Predicted], labels: Labels, *, title: str, note: str) -> Figure:
    """Draw predictions, those on the original first.

    Args:
        seen: the original, then the codecs; images of one size, predictions of one kind.
        labels: classes of the data set, for colours and names.

    Returns:
        The figure; a placeholder for landmarks of an image without faces, and for kinds of
        predictions that have no drawing (`icmbench.reporting.figures.answers`).

    Raises:
        MeasurementError: sizes of images differ, or a prediction does not fit its image.
    """
    kind = kind_of(seen[0].prediction)
    with theme():
        module = drawing_module(kind)
        if module is None:
            return placeholder(title, f"predictions of the kind {kind} are not drawn")
        figure: Figure = importlib.import_module(module).draw(seen, labels, title, note)
        return figure
