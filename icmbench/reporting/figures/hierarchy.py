"""The palette hierarchy of one image, state by state (MPD, Fig. 5): maps, images, and the tree.

An entry's colour is the mean of the original's pixels under its cells, so that a map looks like
the image. The decoder does not know these colours: its palette entries are latent vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from icmbench.bitstream.folding import coded_size, fold, strips, unfold
from icmbench.core.errors import MeasurementError
from icmbench.models.latent import CELL
from icmbench.reporting.figures.palette_tree import draw_tree, tree_levels
from icmbench.reporting.figures.sheets import Pixels, Sheet
from icmbench.reporting.figures.style import INK, theme

COLUMNS: Final = 4
_WIDE, _TALL = 2.35, 2.75  # inches: an image fits into this box
_LEAST = 1.55  # inches that the words above an image take
_LEFT, _GAP, _WORDS, _BETWEEN = 0.34, 0.12, 0.36, 0.14


@dataclass(frozen=True)
class Level:
    """One state: int16 labels (h, w) of cells of 8 x 8 pixels, and what its file decodes to.

    `bytes` is the size of the file cut there; `picture` is uint8 (H, W, 3).
    """

    state: int
    labels: NDArray[np.int16]
    entries: int
    bytes: int
    picture: Pixels


def entry_colours(original: Pixels, labels: NDArray[np.int16], entries: int) -> NDArray[np.float64]:
    """Mean RGB of the original's pixels under each entry's cells: float (entries, 3) in 0 ... 255.

    Padding pixels do not count; very thin images are folded as in the codec (`bitstream.folding`).
    NaN where an entry has no cell.
    """
    original = fold(original, CELL)
    rows, columns = (np.arange(0, side, CELL) for side in original.shape[:2])
    if labels.shape != (len(rows), len(columns)):
        raise MeasurementError(f"a map of {labels.shape} cells does not fit an image of this size")
    sums = np.add.reduceat(np.add.reduceat(original.astype(np.float64), rows, 0), columns, 1)
    heights = np.diff([*rows, original.shape[0]])
    pixels = np.outer(heights, np.diff([*columns, original.shape[1]])).ravel()
    flat = labels.ravel()
    counts = np.bincount(flat, pixels, entries)
    totals = [np.bincount(flat, sums[:, :, c].ravel(), entries) for c in range(3)]
    with np.errstate(invalid="ignore"):
        return np.stack(totals, axis=1) / counts[:, None]


def entry_map(
    labels: NDArray[np.int16], colours: NDArray[np.float64], size: tuple[int, int]
) -> tuple[Pixels, tuple[int, int, int, int]]:
    """Index map of a state in colour, and its extent (left, right, bottom, top) in image pixels.

    The map has one pixel per cell; for an image that the codec folds, one per image pixel.

    Args:
        colours: of `entry_colours`.
        size: height and width of the image.
    """
    shown = np.rint(np.nan_to_num(colours)).astype(np.uint8)[labels]
    if strips(*size, CELL) == 1:
        return shown, (0, labels.shape[1] * CELL, labels.shape[0] * CELL, 0)
    height, width = coded_size(*size, CELL)
    pixels = shown.repeat(CELL, axis=0).repeat(CELL, axis=1)[:height, :width]
    return unfold(pixels, size, CELL), (0, size[1], size[0], 0)


def palette_hierarchy(
    original: Pixels, levels: Sequence[Level], *, title: str, decoder: str
) -> Figure:
    """Draw the original and the tree of the coarsest states, then map and image of every state.

    Args:
        original: uint8 (H, W, 3).
        levels: coarsest first, all of one stream.
        decoder: value of the codec key `decoder`, named in the note.

    Raises:
        MeasurementError: no level, or the size of an image or map differs from the original's.
    """
    if not levels:
        raise MeasurementError("a palette hierarchy needs at least one state")
    if any(level.picture.shape != original.shape for level in levels):
        raise MeasurementError("a palette hierarchy needs reconstructions of the original's size")
    colours = [entry_colours(original, level.labels, level.entries) for level in levels]
    with theme():
        places = _Places(original.shape[0], original.shape[1], len(levels))
        sheet = Sheet(places.wide, places.tall, title, _note(original, levels, decoder))
        size = f"{original.shape[1]} \u00d7 {original.shape[0]} px"
        sheet.words(_LEFT, sheet.top, "original", size)
        sheet.picture(_LEFT, sheet.top + _WORDS, places.picture, original)
        shown = tree_levels([level.entries for level in levels])
        draw_tree(
            sheet.axes(_LEFT + places.pitch, sheet.top, places.tree, _WORDS + places.high),
            [levels[i].labels for i in shown],
            [colours[i] for i in shown],
            [levels[i].state for i in shown],
        )
        for index, (level, colour) in enumerate(zip(levels, colours, strict=True)):
            _panel(sheet, places, index, level, colour)
    return sheet.figure


class _Places:
    """Sizes in inches."""

    def __init__(self, height: int, width: int, panels: int) -> None:
        self.across = min(panels, COLUMNS)
        self.picture = min(_WIDE, _TALL * width / height)
        self.high = self.picture * height / width
        self.pitch = max(self.picture, _LEAST) + _GAP
        self.tree = (COLUMNS - 1) * self.pitch - _GAP
        self.wide = _LEFT + COLUMNS * self.pitch
        self.band = _WORDS + 2 * self.high + 0.06 + _BETWEEN
        self.first = _WORDS + self.high + _BETWEEN
        self.tall = self.first + -(-panels // self.across) * self.band


def _note(original: Pixels, levels: Sequence[Level], decoder: str) -> str:
    pixels = original.shape[0] * original.shape[1]
    text = (
        f"Upper images: the index map, one square per latent cell ({CELL} \u00d7 {CELL} px), "
        "each palette entry in the mean colour of the original under its cells. Lower images: "
        f"the file truncated at this state, decoded (decoder={decoder}). Bytes and bpp: of that "
        f"file with its header, for {pixels:,} original pixels. Tree: entries of the coarsest "
        "states below their parents; percent: share of the cells."
    )
    shown = {level.state for level in levels}
    if gaps := [t for t in range(max(shown), min(shown), -1) if t not in shown]:
        which = f"State{'s' * (len(gaps) > 1)} {', '.join(map(str, gaps))}"
        text += f" {which}: the same file as the state before, because the image has few cells."
    return text


def _panel(
    sheet: Sheet, places: _Places, index: int, level: Level, colours: NDArray[np.float64]
) -> None:
    """Words, map and image of one state."""
    band, column = divmod(index, places.across)
    left, top = _LEFT + column * places.pitch, sheet.top + places.first + band * places.band
    height, width = level.picture.shape[:2]
    bpp = 8 * level.bytes / (height * width)
    plural = "y" if level.entries == 1 else "ies"
    facts = f"{level.bytes:,} bytes, {bpp:.4f} bpp"
    sheet.words(left, top, f"state {level.state}: {level.entries} entr{plural}", facts)
    axes = sheet.axes(left, top + _WORDS, places.picture, places.high)
    axes.set_axis_off()
    shown, extent = entry_map(level.labels, colours, (height, width))
    axes.imshow(shown, aspect="auto", interpolation="nearest", extent=extent)
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.add_patch(Rectangle((0, 0), width, height, fill=False, edgecolor="#8a8d91", linewidth=0.6))
    below = top + _WORDS + places.high + 0.06
    sheet.picture(left, below, places.picture, level.picture)
    if column == 0:
        style = {"rotation": 90, "ha": "right", "va": "center", "fontsize": 8, "color": INK}
        for place, text in ((top + _WORDS, "index map"), (below, "decoded")):
            sheet.text(_LEFT - 0.09, place + places.high / 2, text, **style)
