"""What a model sees, drawn on the original and on what every codec makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Affine2D, Transform
from numpy.typing import NDArray
from scipy import ndimage

from icmbench.errors import MeasurementError
from icmbench.reporting.figures.diffusion_rates import Panel, picture_sheet
from icmbench.reporting.figures.label_maps import CLASS_COLOURS
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.tasks.base import Faces, Instances, Labels, Prediction, SemanticMap

Pixels = NDArray[np.uint8]

SHOWN: Final = 0.5  # least score of a thing that is drawn, as in `missed` and `hallucinated`
MASK: Final = 0.28  # opacity of a mask; its rim is opaque
MAP: Final = 0.6  # opacity of a semantic map
DOT: Final = "#00e5ff"
AROUND: Final = 0.3  # of the faces' extent, on every side of them
LEAST: Final = 48  # pixels of a side of what is shown of a picture with faces
WORDS: Final = 29  # characters of a line above a picture
_SMALL = 5.2  # points, of a class's name


@dataclass(frozen=True)
class Seen:
    """A picture and what a model saw in it.

    Attributes:
        title: of the codec family, or `original`.
        codec: codec string; '' for the original.
        bpp: of this image's file; None for the original.
        picture: uint8 (H, W, 3).
    """

    title: str
    codec: str
    bpp: float | None
    picture: Pixels
    prediction: Prediction


def class_colour(index: int) -> tuple[float, float, float]:
    """The colour of a class by its place among the data set's; 36 before one comes back."""
    mixed = ((0.0, 0.0), (0.5, 0.0), (0.6, 1.0))
    share, with_ = mixed[index // len(CLASS_COLOURS) % len(mixed)]
    red, green, blue = to_rgb(CLASS_COLOURS[index % len(CLASS_COLOURS)])
    return tuple((1 - share) * part + share * with_ for part in (red, green, blue))  # type: ignore[return-value]


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
    if len({type(one.prediction) for one in seen}) != 1:
        raise MeasurementError("a figure shows predictions of one kind")
    first = seen[0].prediction
    if isinstance(first, Instances):
        return _things(seen, labels, title, f"{_THINGS} {note}")
    if first.dtype == np.uint8:
        return _maps(seen, labels, title, f"{_MAPS} {note}")
    return _faces(seen, title, f"{_FACES} {note}")


_THINGS = f"Box, mask and class of every thing of score {SHOWN:g} or more; a colour is a class."
_MAPS = (
    "The class of every pixel as a colour over the grey picture, with its name in its widest spot. "
    "The same: pixels that got the class that they got in the original."
)
_FACES = (
    "The 68 landmarks of every annotated face; the part of the picture around the faces. Shift: "
    "mean distance in pixels to the landmarks found in the original."
)


def _panel(one: Seen, picture: Pixels, fact: str) -> Panel:
    height, width = one.picture.shape[:2]
    size = f"{width} \u00d7 {height} px" if one.bpp is None else f"{one.bpp:.3f} bpp"
    words = " \u00b7 ".join(filter(None, (size, fact)))
    return Panel(picture, one.title, (words, *_broken(one.codec)))


def _broken(codec: str) -> list[str]:
    """A codec string in lines, broken after commas; none of an empty one."""
    lines = [""]
    for part in codec.replace(",", ",\n").split("\n"):
        if lines[-1] and len(lines[-1]) + len(part) > WORDS:
            lines.append("")
        lines[-1] += part
    return [line for line in lines if line]


def _pixels(axes: Axes, height: int, width: int) -> Transform:
    """From pixels of a picture to the display; a sheet's axes are the unit square, y upwards."""
    unit = Affine2D().scale(1 / width, -1 / height).translate(0, 1)
    return unit + axes.transData


def _things(seen: Sequence[Seen], labels: Labels, title: str, note: str) -> Figure:
    order = {number: place for place, number in enumerate(sorted(labels.categories))}
    panels, drawn = [], []
    for one in seen:
        things = one.prediction
        assert isinstance(things, Instances)
        kept = np.flatnonzero(things.scores >= SHOWN)
        if strange := set(things.labels[kept].tolist()) - set(order):
            raise MeasurementError(f"{one.title}: label {min(strange)} is no category")
        colours = [class_colour(order[int(things.labels[n])]) for n in kept]
        drawn.append((things, kept, colours))
        picture = _with_masks(one, things, kept, colours)
        panels.append(_panel(one, picture, f"{len(kept)} thing{'' if len(kept) == 1 else 's'}"))
    figure = picture_sheet(panels, title=title, note=note)
    for axes, one, (things, kept, colours) in zip(figure.axes, seen, drawn, strict=True):
        transform = _pixels(axes, *one.picture.shape[:2])
        for number, colour in zip(kept, colours, strict=True):
            name = labels.categories[int(things.labels[number])]
            _box(axes, things.boxes[number], colour, name, transform)
    return figure


def _with_masks(
    one: Seen, things: Instances, kept: NDArray[np.int64], colours: Sequence[tuple[float, ...]]
) -> Pixels:
    """The picture with coloured masks, the highest score on top."""
    if things.masks is None:
        return one.picture
    from pycocotools import mask as coco_mask

    values = one.picture.astype(np.float64)
    for number, colour in reversed(list(zip(kept, colours, strict=True))):
        mask = coco_mask.decode(dict(things.masks[number])).astype(bool)
        if mask.shape != one.picture.shape[:2]:
            raise MeasurementError(f"{one.title}: a mask of {mask.shape} on another picture")
        paint = 255 * np.array(colour)
        values[mask] = (1 - MASK) * one.picture[mask] + MASK * paint
        values[mask & ~ndimage.binary_erosion(mask)] = paint
    return _whole(values)


def _box(
    axes: Axes,
    box: NDArray[np.float64],
    colour: tuple[float, float, float],
    name: str,
    transform: Transform,
) -> None:
    left, top, right, bottom = box.tolist()
    ink = "black" if np.dot(colour, (0.299, 0.587, 0.114)) > 0.45 else "white"
    axes.add_patch(
        Rectangle(
            (left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=1.1,
            transform=transform, path_effects=[withStroke(linewidth=2.0, foreground="white")],
        )
    )  # fmt: skip
    axes.text(
        left, top, name, transform=transform, fontsize=_SMALL, color=ink, va="top", ha="left",
        clip_on=True, bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.7},
    )  # fmt: skip


def _maps(seen: Sequence[Seen], labels: Labels, title: str, note: str) -> Figure:
    palette = np.array([class_colour(index) for index in range(len(labels.classes))])
    panels, first = [], seen[0].prediction
    for one in seen:
        found = _semantic(one, len(palette))
        same = float(np.mean(found == first))
        fact = "" if one.bpp is None else f"{100 * same:.1f} % the same"
        panels.append(_panel(one, _coloured(one.picture, found, palette), fact))
    figure = picture_sheet(panels, title=title, note=note)
    for axes, one in zip(figure.axes, seen, strict=True):
        found = _semantic(one, len(palette))
        transform = _pixels(axes, *found.shape)
        inches = axes.get_position().width * figure.get_size_inches()[0] / found.shape[1]
        for index in np.unique(found).tolist():
            _name(axes, found == index, labels.classes[index], inches, transform)
    return figure


def _semantic(one: Seen, classes: int) -> SemanticMap:
    found = one.prediction
    assert isinstance(found, np.ndarray)
    if found.shape != one.picture.shape[:2] or found.max(initial=0) >= classes:
        raise MeasurementError(f"{one.title}: a map of another picture, or of other classes")
    return np.asarray(found, np.uint8)


def _coloured(picture: Pixels, found: SemanticMap, palette: NDArray[np.float64]) -> Pixels:
    """Colours over the grey picture, borders between classes dark."""
    grey = picture.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    values = (1 - MAP) * grey[..., None] + MAP * 255 * palette[found]
    border = np.zeros(found.shape, bool)
    border[:, :-1] |= found[:, 1:] != found[:, :-1]
    border[:-1] |= found[1:] != found[:-1]
    values[border] *= 0.35
    return _whole(values)


def _whole(values: NDArray[np.float64]) -> Pixels:
    pixels: Pixels = np.rint(values).astype(np.uint8)
    return pixels


def _name(
    axes: Axes, region: NDArray[np.bool_], name: str, inches: float, transform: Transform
) -> None:
    """A class's name in its widest spot, if it fits in there; `inches` is the side of a pixel."""
    inside = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(inside.argmax()), region.shape)
    room = float(inside[row, column]) * inches
    if room < _SMALL / 72 * float(np.hypot(0.31 * len(name), 0.45)):
        return
    axes.text(
        column + 0.5, row + 0.5, name, transform=transform, fontsize=_SMALL + 0.6, ha="center",
        va="center", path_effects=[withStroke(linewidth=1.5, foreground="white")],
    )  # fmt: skip


def _faces(seen: Sequence[Seen], title: str, note: str) -> Figure:
    found = [np.asarray(one.prediction, np.float64) for one in seen]
    first = found[0]
    height, width = seen[0].picture.shape[:2]
    if any(faces.shape != first.shape for faces in found):
        raise MeasurementError("landmarks of another number of faces than on the original")
    if not len(first):
        return placeholder(title, "the image has no annotated face.")
    left, top, right, bottom = _extent(first, height, width)
    panels = []
    for one, faces in zip(seen, found, strict=True):
        shift = float(np.linalg.norm(faces - first, axis=-1).mean())
        counted = f"{len(first)} face{'' if len(first) == 1 else 's'}"
        fact = counted if one.bpp is None else f"shift {shift:.2f} px"
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


def _extent(faces: Faces, height: int, width: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is shown of the picture: around the faces."""
    points = faces.reshape(-1, 2)
    ends = []
    for low, high, side in zip(
        points.min(axis=0), points.max(axis=0), (width, height), strict=True
    ):
        half = max((high - low) * (0.5 + AROUND), LEAST / 2)
        middle = (low + high) / 2
        start = int(np.clip(np.floor(middle - half), 0, max(0, side - LEAST)))
        stop = int(np.clip(np.ceil(middle + half), min(side, start + LEAST), side))
        ends.append((start, stop))
    return ends[0][0], ends[1][0], ends[0][1], ends[1][1]
