"""Predictions of a task drawn on the original and on the reconstructions of every codec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Affine2D, Transform
from numpy.typing import NDArray

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.sheets import Panel, picture_sheet
from icmbench.reporting.figures.style import theme
from icmbench.reporting.figures.task_overlays import (
    GREY,
    Colour,
    Pixels,
    around,
    class_colour,
    paint_map,
    paint_masks,
    widest_spot,
)
from icmbench.tasks.base import Instances, Labels, Prediction, SemanticMap

SHOWN: Final = 0.5  # smallest score of a drawn instance, as in `missed` and `hallucinated`
DOT: Final = "#00e5ff"
WORDS: Final = 29  # characters of a line above the narrowest image
_SMALL = 5.2  # points, of a class's name

_INSTANCES = f"Box, mask and class of every instance of score {SHOWN:g} or more; colour: class."
_MAPS = (
    "Class of every pixel as a colour over the grey image, with its name in its widest region. "
    "The same: share of pixels with the class that was predicted on the original."
)
_FACES = (
    "The 68 predicted landmarks of every annotated face, in a crop around the faces. Shift: mean "
    "distance in pixels to the landmarks predicted on the original."
)


@dataclass(frozen=True)
class Predicted:
    """An image and the prediction of a task model on it.

    Attributes:
        title: name of the codec entry, or `original`.
        codec: codec spec; "" for the original.
        bpp: rate of this image's file; None for the original.
        picture: uint8 (H, W, 3).
    """

    title: str
    codec: str
    bpp: float | None
    picture: Pixels
    prediction: Prediction


def task_pictures(seen: Sequence[Predicted], labels: Labels, *, title: str, note: str) -> Figure:
    """Draw predictions, those on the original first.

    Args:
        seen: the original, then the codecs; images of one size, predictions of one kind.
        labels: classes of the data set, for colours and names.

    Returns:
        The figure; a placeholder for landmarks of an image without faces, and for kinds of
        predictions that have no figure.

    Raises:
        MeasurementError: sizes of images differ, or a prediction does not fit its image.
    """
    first = seen[0].prediction
    with theme():
        if isinstance(first, Instances):
            return _instances(seen, labels, title, f"{_INSTANCES} {note}")
        if not isinstance(first, np.ndarray):
            return placeholder(title, f"predictions of the kind {first.produces} are not drawn")
        if first.dtype == np.uint8:
            return _maps(seen, labels, title, f"{_MAPS} {note}")
        return _faces(seen, title, f"{_FACES} {note}")


def _panel(one: Predicted, picture: Pixels, fact: str) -> Panel:
    height, width = one.picture.shape[:2]
    size = f"{width} \u00d7 {height} px" if one.bpp is None else f"{one.bpp:.3f} bpp"
    words = " \u00b7 ".join(filter(None, (size, fact)))
    return Panel(picture, one.title, (words, *_broken(one.codec)))


def _broken(codec: str) -> list[str]:
    """Break a codec spec into lines after commas; an empty spec has no lines."""
    lines = [""]
    for part in codec.replace(",", ",\n").split("\n"):
        if lines[-1] and len(lines[-1]) + len(part) > WORDS:
            lines.append("")
        lines[-1] += part
    return [line for line in lines if line]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _pixels(axes: Axes, height: int, width: int) -> Transform:
    """Transform from image pixels to the display; axes of a sheet are the unit square, y up."""
    unit = Affine2D().scale(1 / width, -1 / height).translate(0, 1)
    return unit + axes.transData


def _instances(seen: Sequence[Predicted], labels: Labels, title: str, note: str) -> Figure:
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
        panels.append(_panel(one, picture, _counted(len(kept), "instance")))
    figure = picture_sheet(panels, title=title, note=note)
    for axes, one, (found, kept, colours) in zip(figure.axes, seen, drawn, strict=True):
        transform = _pixels(axes, *one.picture.shape[:2])
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
        max(left, 0), max(top, 0), name, transform=transform, fontsize=_SMALL, color=ink, va="top",
        ha="left", clip_on=True, bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.7},
    )  # fmt: skip


def _maps(seen: Sequence[Predicted], labels: Labels, title: str, note: str) -> Figure:
    palette = np.array([class_colour(index) for index in range(len(labels.classes))])
    maps = [_semantic(one, len(palette)) for one in seen]
    panels = []
    for one, found in zip(seen, maps, strict=True):
        same = f"{100 * float(np.mean(found == maps[0])):.1f} % the same"
        picture = paint_map(one.picture, found, palette)
        panels.append(_panel(one, picture, "" if one.bpp is None else same))
    figure = picture_sheet(panels, title=title, note=note)
    for axes, found in zip(figure.axes, maps, strict=True):
        transform = _pixels(axes, *found.shape)
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
    if room * inches < _SMALL / 72 * float(np.hypot(0.31 * len(name), 0.45)):
        return
    axes.text(
        column + 0.5, row + 0.5, name, transform=transform, fontsize=_SMALL + 0.6, ha="center",
        va="center", path_effects=[withStroke(linewidth=1.5, foreground="white")],
    )  # fmt: skip


def _faces(seen: Sequence[Predicted], title: str, note: str) -> Figure:
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
        fact = _counted(len(first), "face") if one.bpp is None else shift
        panels.append(_panel(one, one.picture[top:bottom, left:right], fact))
    figure = picture_sheet(panels, title=title, note=note)
    for axes, faces in zip(figure.axes, found, strict=True):
        points = faces.reshape(-1, 2) - (left, top)
        axes.plot(
            points[:, 0], points[:, 1], linestyle="none", marker="o", markersize=2.6, color=DOT,
            markeredgecolor="black", markeredgewidth=0.4, clip_on=True,
            transform=_pixels(axes, bottom - top, right - left),
        )  # fmt: skip
        axes.set(xlim=(0, 1), ylim=(0, 1))
    return figure
