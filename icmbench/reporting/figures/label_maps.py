"""Pseudo-labels of every level as label maps over an image (MPD)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from PIL import Image as PillowImage
from scipy import ndimage

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.sheets import Panel, Pixels, original_panel, picture_sheet
from icmbench.reporting.figures.style import theme

Labels = NDArray[np.int64]
Segments = NDArray[np.float64]
# Far apart in hue, and neighbours in the list far apart in lightness.
CLASS_COLOURS: Final = (
    "#0072B2", "#E69F00", "#8C1D40", "#56B4E9", "#009E73", "#F0E442", "#5E3C99", "#CC79A7",
    "#111111", "#A6D96A", "#D55E00", "#7FD7C8",
)  # fmt: skip
OTHER: Final = "#b4b7ba"
_OPACITY = 0.5
_SIZE = 6.5  # points, of a label's number


def frequent(labels: NDArray[Any], most: int = len(CLASS_COLOURS)) -> list[int]:
    """The `most` most frequent labels, most frequent first, ties to the smaller one."""
    values, counts = np.unique(labels, return_counts=True)
    return [int(values[index]) for index in np.argsort(-counts, kind="stable")[:most]]


def short_name(text: str, most: int) -> str:
    """The text, shortened in the middle to `most` characters: names often differ at their ends."""
    half = (max(most, 3) - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"


def boundaries(labels: Labels) -> Segments:
    """Edges between cells of different labels: float (n, 2, 2), ends as (x, y) in cells."""
    rows, columns = np.nonzero(labels[:, 1:] != labels[:, :-1])
    upright = [[(x + 1, y), (x + 1, y + 1)] for y, x in zip(rows, columns, strict=True)]
    rows, columns = np.nonzero(labels[1:] != labels[:-1])
    level = [[(x, y + 1), (x + 1, y + 1)] for y, x in zip(rows, columns, strict=True)]
    return np.array(upright + level, np.float64).reshape(-1, 2, 2)


def label_maps(
    image: Pixels,
    maps: Mapping[str, Labels],
    patch: int,
    stride: int,
    *,
    title: str = "Pseudo-labels",
) -> Figure:
    """Draw the image, then per level the labels of its patches over it.

    A label colours the `stride` x `stride` pixels in the middle of its patch. The most frequent
    labels of a level have a colour each and a number where there is room; the others are grey.

    Args:
        image: uint8 (H, W, 3).
        maps: level -> int64 (rows, columns): labels of the patches at (row * stride, column *
            stride), every patch that lies in the image.
        patch: side of a patch in pixels.
        stride: pixels between neighbouring patches, at most `patch`.

    Returns:
        The figure; a placeholder where there is no level.

    Raises:
        MeasurementError: a map of another image, patch size or stride.
    """
    if not maps:
        return placeholder(title, "no level has labels.")
    _check(image, maps, patch, stride)
    # The colours of the image would mix with those of the labels.
    grey = np.asarray(PillowImage.fromarray(image).convert("L").convert("RGB"))
    panels = [Panel(grey, short_name(name, 26), (_summary(maps[name]),)) for name in maps]
    with theme():
        note = _note(patch, stride)
        figure = picture_sheet([original_panel(image), *panels], title=title, note=note)
        for axes, labels in zip(figure.axes[1:], maps.values(), strict=True):
            _overlay(axes, labels, patch, stride, image.shape[:2])
    return figure


def _check(image: Pixels, maps: Mapping[str, Labels], patch: int, stride: int) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise MeasurementError(f"an image is uint8 (H, W, 3), not {image.dtype} {image.shape}")
    if not 1 <= stride <= patch <= min(image.shape[:2]):
        raise MeasurementError(
            f"patches of {patch} px, one every {stride} px, in an image {image.shape[:2]}"
        )
    expected = tuple((side - patch) // stride + 1 for side in image.shape[:2])
    for name, labels in maps.items():
        if labels.shape != expected or not np.issubdtype(labels.dtype, np.integer):
            raise MeasurementError(
                f"{name}: whole labels {expected} expected, not {labels.dtype} {labels.shape}"
            )


def _note(patch: int, stride: int) -> str:
    return (
        f"One label per patch of {patch} \u00d7 {patch} px, a patch every {stride} px; a label "
        f"colours the {stride} \u00d7 {stride} px in the middle of its patch. Lines: borders "
        "between colours. Numbers: the label, in its widest spot, where there is room. Per level "
        f"the {len(CLASS_COLOURS)} most frequent labels are coloured, the others "
        "grey; colours do not correspond between levels."
    )


def _summary(labels: Labels) -> str:
    count = len(np.unique(labels))
    text = f"{count} label{'s' * (count != 1)}"
    if count > len(CLASS_COLOURS):
        share = 1 - np.isin(labels, frequent(labels)).mean()
        text += f", {len(CLASS_COLOURS)} coloured, {100 * share:.0f} % grey"
    return text


def _overlay(axes: Axes, labels: Labels, patch: int, stride: int, size: tuple[int, int]) -> None:
    """Colours, borders and numbers over an image of this height and width."""
    height, width = size
    axes.images[0].set_extent((0, width, height, 0))
    axes.set(xlim=(0, width), ylim=(height, 0))
    figure = axes.get_figure(root=True)
    assert figure is not None, "the axes of a panel are in a figure"
    inches = axes.get_position().width * figure.get_size_inches()[0] / width  # of a pixel
    coloured = frequent(labels)
    colours = np.array([*map(to_rgb, CLASS_COLOURS), to_rgb(OTHER)])
    slots = np.full(labels.shape, len(CLASS_COLOURS))
    for slot, label in enumerate(coloured):
        slots[labels == label] = slot
    first = (patch - stride) / 2
    ends = [first + stride * side for side in labels.shape]
    axes.imshow(
        colours[slots], aspect="auto", interpolation="nearest", alpha=_OPACITY,
        extent=(first, ends[1], ends[0], first),
    )  # fmt: skip
    lines = first + stride * boundaries(slots)
    cell = 72 * stride * inches  # points
    for width, colour in ((min(1.5, 0.4 * cell), "white"), (min(0.6, 0.16 * cell), "black")):
        axes.add_collection(LineCollection(list(lines), colors=colour, linewidths=width))
    for label, (row, column) in _spots(labels, coloured, stride * inches).items():
        axes.text(
            first + stride * (column + 0.5), first + stride * (row + 0.5), str(label),
            ha="center", va="center_baseline", fontsize=_SIZE, fontweight="bold",
            path_effects=[withStroke(linewidth=1.6, foreground="white")],
        )  # fmt: skip


def _spots(labels: Labels, shown: Sequence[int], cell: float) -> dict[int, tuple[int, int]]:
    """Label -> (row, column) of the middle of its widest spot, if its number fits in there."""
    found = {}
    for label in shown:
        # Outside the map is another region, so that a number keeps away from the border too.
        inside = ndimage.distance_transform_edt(np.pad(labels == label, 1))[1:-1, 1:-1]
        row, column = np.unravel_index(int(inside.argmax()), labels.shape)
        room = (float(inside[row, column]) - 0.5) * cell
        if room >= _SIZE / 72 * float(np.hypot(0.36 * len(str(label)), 0.4)):
            found[label] = (int(row), int(column))
    return found
