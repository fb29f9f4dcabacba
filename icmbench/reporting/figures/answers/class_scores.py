"""Class scores as bars below the image: the five best classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.predicted import SMALL, Predicted, panel, pixels
from icmbench.reporting.figures.sheets import picture_sheet
from icmbench.reporting.figures.style import INK
from icmbench.reporting.figures.task_overlays import Pixels
from icmbench.tasks.answers.class_scores import ClassScores, best_classes
from icmbench.tasks.base import Labels
from icmbench.tasks.metrics.classification_metrics import divergence

ROW: Final = 0.066  # height of a bar's row in widths of a square image
BAR: Final = "#d9d9d9"
SAME: Final = "#a3a3a3"  # bar of the best class of the original
NOTE: Final = (
    "Bars: probabilities of the five best classes, of the square in the middle. Dark bar with an "
    "edge and a black square: the best class of the original. KL: divergence of all class scores "
    "from the original's, in nats."
)


def draw(seen: Sequence[Predicted], labels: Labels, title: str, note: str) -> Figure:
    """The five best classes; MeasurementError for other classes than those of the original."""
    found = [_scores(one) for one in seen]
    first = found[0]
    if any(one.scores.shape[1] != first.scores.shape[1] for one in found):
        raise MeasurementError("class scores of another number of classes than of the original")
    best = int(first.scores[0].argmax())
    panels = []
    for one, scores in zip(seen, found, strict=True):
        panels.append(panel(one, _with_band(one.picture), _fact(one, scores, first, best)))
    figure = picture_sheet(panels, title=title, note=f"{NOTE} {note}")
    for axes, one, scores in zip(figure.axes, seen, found, strict=True):
        _bars(axes, scores, best, *one.picture.shape[:2])
    return figure


def _scores(one: Predicted) -> ClassScores:
    found = one.prediction
    if not isinstance(found, ClassScores):
        raise MeasurementError(f"{one.title}: not class scores, as on the original")
    return found


def _fact(one: Predicted, found: ClassScores, first: ClassScores, best: int) -> str:
    """Agreement with the original, for the line above a reconstruction."""
    if one.bpp is None:
        return ""
    before, after = (each.scores[:1].astype(np.float64) for each in (first, found))
    same = "same class" if int(found.scores[0].argmax()) == best else "another class"
    return f"{same}, KL {float(divergence(before, after)[0]):.2f}"


def _row(height: int, width: int) -> int:
    """Height of a bar's row in pixels: the same share of the panel for every format of image."""
    return max(1, round(ROW * max(width, height)))


def _with_band(picture: Pixels) -> Pixels:
    """The image with white rows below it, where the bars are drawn."""
    height, width = picture.shape[:2]
    band = np.full((6 * _row(height, width), width, 3), 255, np.uint8)
    return np.concatenate([picture, band])


def _bars(axes: Axes, found: ClassScores, best: int, height: int, width: int) -> None:
    """Draw name and probability of the best classes below an image of this size."""
    row = _row(height, width)
    transform = pixels(axes, height + 6 * row, width)
    style: dict[str, Any] = {"fontsize": SMALL, "va": "center", "color": INK}
    style |= {"transform": transform, "path_effects": [withStroke(linewidth=1, foreground="white")]}
    indices = best_classes(found.scores[0])
    for place, (index, name) in enumerate(zip(indices, found.names, strict=True)):
        top = height + row * (0.6 + place)
        probability = float(np.exp(found.scores[0, index]))
        same = int(index) == best
        axes.add_patch(
            Rectangle(
                (0, top), width * probability, 0.86 * row, transform=transform,
                facecolor=SAME if same else BAR, edgecolor=INK if same else "none", linewidth=0.8,
            )
        )  # fmt: skip
        middle = top + 0.43 * row
        mark = "\u25a0 " if same else ""
        axes.text(0.015 * width, middle, f"{mark}{name}", ha="left", **style)
        axes.text(0.985 * width, middle, f"{probability:.2f}", ha="right", **style)
