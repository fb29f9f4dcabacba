"""Landmarks as dots, in a crop around the faces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.predicted import Predicted, counted, panel, pixels
from icmbench.reporting.figures.sheets import picture_sheet
from icmbench.reporting.figures.task_overlays import around
from icmbench.tasks.base import Labels

DOT: Final = "#00e5ff"
NOTE: Final = (
    "The 68 predicted landmarks of every annotated face, in a crop around the faces. Shift: mean "
    "distance in pixels to the landmarks predicted on the original."
)


def draw(seen: Sequence[Predicted], labels: Labels, title: str, note: str) -> Figure:
    """The points; MeasurementError where the numbers of faces differ."""
    found = [np.asarray(one.prediction, np.float64) for one in seen]
    first = found[0]
    if any(faces.shape != first.shape for faces in found):
        raise MeasurementError("landmarks of another number of faces than in the original")
    if not len(first):
        return placeholder(title, "the image has no annotated face.")
    left, top, right, bottom = around(first, *seen[0].picture.shape[:2])
    panels = []
    for one, faces in zip(seen, found, strict=True):
        shift = f"shift {float(np.linalg.norm(faces - first, axis=-1).mean()):.2f} px"
        fact = counted(len(first), "face") if one.bpp is None else shift
        panels.append(panel(one, one.picture[top:bottom, left:right], fact))
    figure = picture_sheet(panels, title=title, note=f"{NOTE} {note}")
    for axes, faces in zip(figure.axes, found, strict=True):
        points = faces.reshape(-1, 2) - (left, top)
        axes.plot(
            points[:, 0], points[:, 1], linestyle="none", marker="o", markersize=2.6, color=DOT,
            markeredgecolor="black", markeredgewidth=0.4, clip_on=True,
            transform=pixels(axes, bottom - top, right - left),
        )  # fmt: skip
        axes.set(xlim=(0, 1), ylim=(0, 1))
    return figure
