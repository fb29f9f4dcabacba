"""Tree of the coarse states of a palette: a row of swatches per state, children below parents."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.style import MUTED

Labels = NDArray[np.int16]
Colours = NDArray[np.float64]
MAX_ENTRIES: Final = 16
_LUMA = np.array([0.2126, 0.7152, 0.0722])
_SWATCH = (0.8, 0.34)  # of the distance between leaves, and between rows


def tree_levels(entries: Sequence[int]) -> list[int]:
    """Indices of the states of at most `MAX_ENTRIES` entries; at least the coarsest."""
    few = [index for index, count in enumerate(entries) if count <= MAX_ENTRIES]
    return few or [0]


def parents(fine: Labels, coarse: Labels) -> dict[int, int]:
    """Entry of the finer state -> its parent, an entry of the coarser state.

    Raises MeasurementError where the cells of one entry belong to two parents: the states are not
    of one hierarchy.
    """
    pairs = np.unique(np.stack([fine.ravel(), coarse.ravel()], axis=1), axis=0)
    if len(np.unique(pairs[:, 0])) < len(pairs):
        raise MeasurementError("a palette entry lies in two entries of the coarser state")
    return {int(child): int(parent) for child, parent in pairs}


def positions(labels: Sequence[Labels], colours: Sequence[Colours]) -> list[dict[int, float]]:
    """Horizontal position of every entry that has cells, per state.

    Entries of the finest state are at 0, 1, 2 ...; every other entry is centred above its children.
    Siblings are sorted from dark to light.
    """
    above = [parents(fine, coarse) for coarse, fine in itertools.pairwise(labels)]
    # Sort key of an entry: (luma, entry) of all its ancestors, coarsest first, and of itself.
    lineages: dict[int, tuple[tuple[float, int], ...]] = {
        int(entry): ((float(colours[0][entry] @ _LUMA), int(entry)),)
        for entry in np.unique(labels[0])
    }
    for colour, owner in zip(colours[1:], above, strict=True):
        light = colour @ _LUMA
        lineages = {
            child: (*lineages[up], (float(light[child]), child)) for child, up in owner.items()
        }
    order = sorted(lineages, key=lineages.__getitem__)
    found = [{entry: float(index) for index, entry in enumerate(order)}]
    for owner in reversed(above):
        groups: dict[int, list[float]] = {}
        for child, parent in owner.items():
            groups.setdefault(parent, []).append(found[0][child])
        found.insert(0, {parent: (min(xs) + max(xs)) / 2 for parent, xs in sorted(groups.items())})
    return found


def draw_tree(
    axes: Axes, labels: Sequence[Labels], colours: Sequence[Colours], states: Sequence[int]
) -> None:
    """Draw the states, coarsest on top.

    Where the coarsest state has several entries, a root of their mean colour is drawn above them.

    Args:
        labels: per state, the entry of every cell.
        colours: per state, RGB of its entries in 0 ... 255.
        states: diffusion state t of each, for the row names.
    """
    names = [f"state {state}" for state in states]
    if len(colours[0]) > 1:
        shares = np.bincount(labels[0].ravel(), minlength=len(colours[0])) / labels[0].size
        mean = (shares[:, None] * np.nan_to_num(colours[0])).sum(0, keepdims=True)
        labels, colours = [np.zeros_like(labels[0]), *labels], [mean, *colours]
        names = ["all cells", *names]
    spots = positions(labels, colours)
    for depth in range(1, len(labels)):
        for child, parent in sorted(parents(labels[depth], labels[depth - 1]).items()):
            x, up = spots[depth][child], spots[depth - 1][parent]
            axes.plot(
                [up, up, x, x], [depth - 1, depth - 0.5, depth - 0.5, depth],
                color="#8a8d91", linewidth=0.9, zorder=1, solid_joinstyle="miter",
            )  # fmt: skip
    for depth, spot in enumerate(spots):
        _swatches(axes, depth, spot, colours[depth])
        axes.text(
            0, depth, names[depth], transform=axes.get_yaxis_transform(), ha="left", va="center",
            fontsize=7.5, color=MUTED,
        )  # fmt: skip
    _percent(axes, len(spots) - 1, spots[-1], labels[-1])
    count = len(spots[-1])
    axes.set(xlim=(-2.2 * max(count, 8) / 16, max(count - 0.5, 1)), ylim=(len(spots) - 0.35, -0.35))
    axes.set_axis_off()


def _swatches(axes: Axes, depth: int, spot: dict[int, float], colours: Colours) -> None:
    wide, high = _SWATCH
    for entry, x in spot.items():
        axes.add_patch(
            Rectangle((x - wide / 2, depth - high / 2), wide, high, linewidth=0.7, zorder=2,
                      facecolor=tuple(np.clip(colours[entry] / 255, 0, 1)), edgecolor="#3c4043")
        )  # fmt: skip


def _percent(axes: Axes, depth: int, spot: dict[int, float], labels: Labels) -> None:
    counts = np.bincount(labels.ravel())
    for entry, x in spot.items():
        share = 100 * counts[entry] / labels.size
        text = f"{share:.0f} %" if share >= 1 else "<1 %"
        axes.text(
            x, depth + _SWATCH[1] / 2 + 0.06, text, ha="center", va="top", fontsize=6, color=MUTED
        )  # fmt: skip
