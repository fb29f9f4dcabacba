"""Semantic maps as colours over the image, with the names of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Transform
from numpy.typing import NDArray

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.predicted import SMALL, Predicted, panel, pixels
from icmbench.reporting.figures.sheets import picture_sheet
from icmbench.reporting.figures.task_overlays import class_colour, paint_map, widest_spot
from icmbench.tasks.base import Labels, SemanticMap

NOTE: Final = (
    "Class of every pixel as a colour over the grey image, with its name in its widest region. "
    "The same: share of pixels with the class that was predicted on the original."
)


def draw(seen: Sequence[Predicted], labels: Labels, title: str, note: str) -> Figure:
    """The maps; MeasurementError for one that is not of its image, or of other classes."""
    palette = np.array([class_colour(index) for index in range(len(labels.classes))])
    maps = [_semantic(one, len(palette)) for one in seen]
    panels = []
    for one, found in zip(seen, maps, strict=True):
        same = f"{100 * float(np.mean(found == maps[0])):.1f} % the same"
        picture = paint_map(one.picture, found, palette)
        panels.append(panel(one, picture, "" if one.bpp is None else same))
    figure = picture_sheet(panels, title=title, note=f"{NOTE} {note}")
    for axes, found in zip(figure.axes, maps, strict=True):
        transform = pixels(axes, *found.shape)
        inches = axes.get_position().width * figure.get_size_inches()[0] / found.shape[1]
        for index in np.unique(found).tolist():
            _name(axes, found == index, labels.classes[index], inches, transform)
    return figure


def _semantic(one: Predicted, classes: int) -> SemanticMap:
    found = one.prediction
    if not isinstance(found, np.ndarray) or found.shape != one.picture.shape[:2]:
        raise MeasurementError(f"{one.title}: not a map of its image")
    if int(found.max()) >= classes:
        raise MeasurementError(f"{one.title}: class index {found.max()} of {classes} classes")
    return np.asarray(found, np.uint8)


def _name(
    axes: Axes, region: NDArray[np.bool_], name: str, inches: float, transform: Transform
) -> None:
    """Write a class name into its widest region, if it fits; `inches` is the side of a pixel."""
    row, column, room = widest_spot(region)
    if room * inches < SMALL / 72 * float(np.hypot(0.31 * len(name), 0.45)):
        return
    axes.text(
        column + 0.5, row + 0.5, name, transform=transform, fontsize=SMALL + 0.6, ha="center",
        va="center", path_effects=[withStroke(linewidth=1.5, foreground="white")],
    )  # fmt: skip
