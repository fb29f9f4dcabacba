"""Instances as boxes, masks and names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Transform
from numpy.typing import NDArray

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.predicted import SMALL, Predicted, counted, panel, pixels
from icmbench.reporting.figures.sheets import picture_sheet
from icmbench.reporting.figures.task_overlays import GREY, Colour, class_colour, paint_masks
from icmbench.tasks.base import Instances, Labels

SHOWN: Final = 0.5  # smallest score of a drawn instance, as in `missed` and `hallucinated`
NOTE: Final = f"Box, mask and class of every instance of score {SHOWN:g} or more; colour: class."


def draw(seen: Sequence[Predicted], labels: Labels, title: str, note: str) -> Figure:
    """The instances of score `SHOWN` or more; MeasurementError for a label that is no category."""
    order = {number: index for index, number in enumerate(sorted(labels.categories))}
    panels, drawn = [], []
    for one in seen:
        found = one.prediction
        if not isinstance(found, Instances):
            raise MeasurementError(f"{one.title}: not instances, as on the original")
        kept = np.flatnonzero(found.scores >= SHOWN)
        if strange := set(found.labels[kept].tolist()) - set(order):
            raise MeasurementError(f"{one.title}: label {min(strange)} is no category")
        colours = [class_colour(order[int(found.labels[n])]) for n in kept]
        drawn.append((found, kept, colours))
        picture = paint_masks(one.picture, found, kept, colours)
        panels.append(panel(one, picture, counted(len(kept), "instance")))
    figure = picture_sheet(panels, title=title, note=f"{NOTE} {note}")
    for axes, one, (found, kept, colours) in zip(figure.axes, seen, drawn, strict=True):
        transform = pixels(axes, *one.picture.shape[:2])
        for number, colour in zip(kept, colours, strict=True):
            name = labels.categories[int(found.labels[number])]
            _box(axes, found.boxes[number], colour, name, transform)
    return figure


def _box(
    axes: Axes, box: NDArray[np.float64], colour: Colour, name: str, transform: Transform
) -> None:
    left, top, right, bottom = box.tolist()
    ink = "black" if np.dot(colour, GREY) > 0.45 else "white"
    axes.add_patch(
        Rectangle(
            (left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=1.1,
            transform=transform, path_effects=[withStroke(linewidth=2.0, foreground="white")],
        )
    )  # fmt: skip
    axes.text(
        max(left, 0), max(top, 0), name, transform=transform, fontsize=SMALL, color=ink, va="top",
        ha="left", clip_on=True, bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.7},
    )  # fmt: skip
