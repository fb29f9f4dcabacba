"""Text that was read, below a crop around it, with wrong characters marked."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font
from matplotlib.patches import Polygon, Rectangle
from numpy.typing import NDArray

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.predicted import Predicted, counted, panel, pixels
from icmbench.reporting.figures.sheets import picture_sheet
from icmbench.tasks.answers.text import Lines
from icmbench.tasks.base import Labels
from icmbench.tasks.metrics.edit_distance import align
from icmbench.tasks.metrics.text_metrics import match_lines, normalised, reading_errors

FONT: Final = "DejaVu Sans Mono"  # every character is as wide as another
POINTS: Final = 6.0  # size of the text below an image
CELL: Final = 0.602 * POINTS / 72  # inches: width of a character
PITCH: Final = 0.115  # inches: distance of the lines
SHOWN: Final = 9  # largest number of lines below an image
MARGIN: Final = 0.05  # around the lines of a crop, relative to its extent
MISSING: Final = "\ufffd"  # for characters that the font does not have
NOTE: Final = (
    "Outline: a line that was read. Below: its text, compared with the text read on the original. "
    "White on black: another or a further character; an empty black cell: a character is missing; "
    "+: a line that was not read on the original. CER: character error rate to that text."
)

Cell = tuple[str, bool]  # a character, and if it is wrong


def draw(seen: Sequence[Predicted], labels: Labels, title: str, note: str) -> Figure:
    """The lines; MeasurementError for a prediction of another kind."""
    found = [_lines(one) for one in seen]
    first = found[0]
    if not first.texts:
        return placeholder(title, "no text was read on the original.")
    left, top, right, bottom = _crop(first.boxes, *seen[0].picture.shape[:2])
    panels, rows = [], []
    for one, lines in zip(seen, found, strict=True):
        listed, rate = compared(first, lines)
        fact = counted(len(first.texts), "line") if one.bpp is None else f"CER {100 * rate:.1f} %"
        panels.append(panel(one, one.picture[top:bottom, left:right], fact))
        rows.append(_shortened(listed))
    below = PITCH * max(map(len, rows)) + 0.06
    figure = picture_sheet(panels, title=title, note=f"{NOTE} {note}", below=below)
    for axes, lines, cells in zip(list(figure.axes), found, rows, strict=True):
        transform = pixels(axes, bottom - top, right - left)
        for box in lines.boxes - (left, top):
            for colour, width in (("black", 1.5), ("white", 0.7)):
                axes.add_patch(Polygon(box, fill=False, edgecolor=colour, linewidth=width,
                                       transform=transform))  # fmt: skip
        axes.set(xlim=(0, 1), ylim=(0, 1))
        _write(figure, axes, cells)
    return figure


def compared(first: Lines, lines: Lines) -> tuple[list[list[Cell]], float]:
    """Rows of cells of the lines, in the order of `first`, further ones last; error rate to it."""
    wanted, read = ([normalised(text) for text in each.texts] for each in (first, lines))
    pairs = match_lines(first.boxes, lines.boxes)
    partner = dict(pairs)
    rows: list[list[Cell]] = []
    for number, text in enumerate(wanted):
        other = read[partner[number]] if number in partner else ""
        rows.append([_cell(text, other, *pair) for pair in align(text, other)])
    extra = sorted(set(range(len(read))) - set(partner.values()))
    rows += [[("+", False), *((character, True) for character in read[n])] for n in extra]
    edits = reading_errors(wanted, read, pairs)[0]
    return rows, edits / sum(map(len, wanted))


def _cell(text: str, other: str, here: int | None, there: int | None) -> Cell:
    if there is None:
        return "", True
    return other[there], here is None or text[here] != other[there]


def _lines(one: Predicted) -> Lines:
    if not isinstance(one.prediction, Lines):
        raise MeasurementError(f"{one.title}: not lines of text, as on the original")
    return one.prediction


def _crop(boxes: NDArray[np.float64], height: int, width: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom around boxes (n, 4, 2)."""
    points = boxes.reshape(-1, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    space = np.maximum(MARGIN * (high - low), 6)
    left, top = np.clip(np.floor(low - space), 0, (width - 16, height - 16)).astype(int).tolist()
    right, bottom = np.ceil(high + space).astype(int).tolist()
    return left, top, min(max(right, left + 16), width), min(max(bottom, top + 16), height)


def _shortened(rows: list[list[Cell]]) -> list[list[Cell]]:
    """The first lines; that there are more is the last."""
    if len(rows) <= SHOWN:
        return rows
    more = f"and {counted(len(rows) - SHOWN + 1, 'further line')}"
    return [*rows[: SHOWN - 1], [(character, False) for character in more]]


def _write(figure: Figure, axes: Axes, rows: Sequence[Sequence[Cell]]) -> None:
    """Write rows of cells below the axes of an image."""
    place = axes.get_position()
    wide, tall = figure.get_size_inches()
    columns = int(place.width * wide / CELL)
    high = len(rows) * PITCH / tall
    frame = (place.x0, place.y0 - high - 0.03 / tall, columns * CELL / wide, high)
    text = figure.add_axes(frame, xlim=(0, columns), ylim=(len(rows), 0))
    text.set_axis_off()
    style: dict[str, Any] = {"fontfamily": FONT, "fontsize": POINTS, "va": "center"}
    for row, cells in enumerate(rows):
        shown = list(cells) if len(cells) <= columns else [*cells[: columns - 1], ("…", False)]
        right = "".join(" " if wrong else _drawable(each) for each, wrong in shown)
        text.text(0, row + 0.5, right, **style)
        for column, (character, wrong) in enumerate(shown):
            if wrong:
                text.add_patch(Rectangle((column, row + 0.06), 1, 0.88, color="black", linewidth=0))
                text.text(column, row + 0.5, _drawable(character), color="white", **style)


def _drawable(character: str) -> str:
    return character if not character or ord(character) in _known() else MISSING


@functools.cache
def _known() -> frozenset[int]:
    return frozenset(FT2Font(findfont(FontProperties(family=FONT))).get_charmap())
