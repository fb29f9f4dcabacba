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

SHOWN: Final = 0.5  # least score of a thing that is drawn, as in `missed` and `hallucinated`
DOT: Final = "#00e5ff"
WORDS: Final = 29  # characters of a line above the narrowest picture
_SMALL = 5.2  # points, of a class's name

_THINGS = f"Box, mask and class of every thing of score {SHOWN:g} or more; a colour is a class."
_MAPS = (
    "The class of every pixel as a colour over the grey picture, with its name in its widest spot. "
    "The same: pixels that got the class that they got in the original."
)
_FACES = (
    "The 68 landmarks of every annotated face; the part of the picture around the faces. Shift: "
    "mean distance in pixels to the landmarks found in the original."
)


@dataclass(frozen=True)
class Seen:
    """A picture and what a model saw in it.

    Attributes:
        title: the codec family, or `original`.
        codec: codec spec; '' for the original.
        bpp: of this image's file; None for the original.
        picture: uint8 (H, W, 3).
    """

    title: str
    codec: str
    bpp: float | None
    picture: Pixels
    prediction: Prediction


def task_pictures(seen: Sequence[Seen], labels: Labels, *, title: str, note: str) -> Figure:
    """Draw what the model saw, the original first.

    Args:
        seen: the original, then the codecs; pictures of one size, predictions of one kind.
        labels: the data set's classes; they decide colours and names.

    Returns:
        The figure; a placeholder where landmarks are of an image without faces.

    Raises:
        MeasurementError: pictures of several sizes, or predictions that are not of them.
    """
    first = seen[0].prediction
    with theme():
        if isinstance(first, Instances):
            return _things(seen, labels, title, f"{_THINGS} {note}")
        if first.dtype == np.uint8:
            return _maps(seen, labels, title, f"{_MAPS} {note}")
        return _faces(seen, title, f"{_FACES} {note}")


def _panel(one: Seen, picture: Pixels, fact: str) -> Panel:
    height, width = one.picture.shape[:2]
    size = f"{width} \u00d7 {height} px" if one.bpp is None else f"{one.bpp:.3f} bpp"
    words = " \u00b7 ".join(filter(None, (size, fact)))
    return Panel(picture, one.title, (words, *_broken(one.codec)))


def _broken(codec: str) -> list[str]:
    """A codec spec in lines, broken after commas; none of an empty one."""
    lines = [""]
    for part in codec.replace(",", ",\n").split("\n"):
        if lines[-1] and len(lines[-1]) + len(part) > WORDS:
            lines.append("")
        lines[-1] += part
    return [line for line in lines if line]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _pixels(axes: Axes, height: int, width: int) -> Transform:
    """From pixels of a picture to the display; a sheet's axes are the unit square, y upwards."""
    unit = Affine2D().scale(1 / width, -1 / height).translate(0, 1)
    return unit + axes.transData


def _things(seen: Sequence[Seen], labels: Labels, title: str, note: str) -> Figure:
    order = {number: place for place, number in enumerate(sorted(labels.categories))}
    panels, drawn = [], []
    for one in seen:
        things = one.prediction
        if not isinstance(things, Instances):
            raise MeasurementError(f"{one.title}: no things, as in the original")
        kept = np.flatnonzero(things.scores >= SHOWN)
        if strange := set(things.labels[kept].tolist()) - set(order):
            raise MeasurementError(f"{one.title}: label {min(strange)} is no category")
        colours = [class_colour(order[int(things.labels[n])]) for n in kept]
        drawn.append((things, kept, colours))
        picture = paint_masks(one.picture, things, kept, colours)
        panels.append(_panel(one, picture, _counted(len(kept), "thing")))
    figure = picture_sheet(panels, title=title, note=note)
    for axes, one, (things, kept, colours) in zip(figure.axes, seen, drawn, strict=True):
        transform = _pixels(axes, *one.picture.shape[:2])
        for number, colour in zip(kept, colours, strict=True):
            name = labels.categories[int(things.labels[number])]
            _box(axes, things.boxes[number], colour, name, transform)
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


def _maps(seen: Sequence[Seen], labels: Labels, title: str, note: str) -> Figure:
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


def _semantic(one: Seen, classes: int) -> SemanticMap:
    found = one.prediction
    if not isinstance(found, np.ndarray) or found.shape != one.picture.shape[:2]:
        raise MeasurementError(f"{one.title}: not a map of its picture")
    if int(found.max()) >= classes:
        raise MeasurementError(f"{one.title}: a map that holds {found.max()} of {classes} classes")
    return np.asarray(found, np.uint8)


def _name(
    axes: Axes, region: NDArray[np.bool_], name: str, inches: float, transform: Transform
) -> None:
    """A class's name in its widest spot, if it fits in there; `inches` is the side of a pixel."""
    row, column, room = widest_spot(region)
    if room * inches < _SMALL / 72 * float(np.hypot(0.31 * len(name), 0.45)):
        return
    axes.text(
        column + 0.5, row + 0.5, name, transform=transform, fontsize=_SMALL + 0.6, ha="center",
        va="center", path_effects=[withStroke(linewidth=1.5, foreground="white")],
    )  # fmt: skip


def _faces(seen: Sequence[Seen], title: str, note: str) -> Figure:
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
