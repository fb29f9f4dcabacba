"""Panels in a grid under constrained layout, with title, legend and note around them.

    figure, panels = grid(len(metrics), 3.5, 3.1)
    for axes, metric in zip(panels, metrics, strict=True):
        label_panel(axes, metric.title, better_arrow(metric))
    finish(figure, "Rate-distortion, photos", note, family_handles(styles))

Matplotlib places the panels with their tick labels and titles; `finish` measures the rest and makes
the figure higher by it, so that nothing overlaps.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.style import INK, MUTED, FamilyStyle

EDGE = 0.12  # inches between a text and the edge of the figure


def across(count: int, columns: int = 3) -> int:
    """Panels in a row: four look better as 2 x 2 than as 3 + 1."""
    return 2 if count == 4 and columns == 3 else min(columns, count)


def grid(
    count: int, width: float, height: float, columns: int = 3, beside: float = 0.0
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, each `width` x `height` inches with its labels.

    Args:
        beside: further inches on the left, for long names of rows.

    Raises MeasurementError if `count` is 0.
    """
    if count < 1:
        raise MeasurementError("a figure needs at least one panel")
    wide = across(count, columns)
    down = math.ceil(count / wide)
    figure = Figure(figsize=(wide * width + beside, down * height), layout="constrained")
    _engine(figure).set(w_pad=0.09, h_pad=0.09)
    places = figure.add_gridspec(down, wide)
    return figure, [figure.add_subplot(places[divmod(i, wide)]) for i in range(count)]


def label_panel(axes: Axes, title: str, words: str) -> None:
    """Title of a panel, and below it which direction is better, with the unit if it says it."""
    axes.set_title(title, loc="left", pad=15)
    axes.text(0, 1.02, words, transform=axes.transAxes, fontsize=7.5, color=MUTED, va="bottom")


def family_handles(
    styles: Mapping[str, FamilyStyle], names: Mapping[str, str] | None = None
) -> list[Line2D]:
    """Legend handles, one per codec entry; `names`: texts other than the entry's name."""
    return [
        Line2D([], [], **style.line, **style.marks, label=(names or {}).get(name, name))
        for name, style in styles.items()
    ]


def finish(
    figure: Figure, title: str, note: str = "", handles: Sequence[Artist] = (), **legend: Any
) -> None:
    """Write the title above the panels, legend and note below them; the figure grows by these.

    Args:
        handles: legend entries with their labels.
        legend: further arguments of matplotlib's legend, such as other labels.
    """
    width, panels = figure.get_size_inches()
    head, foot = "\n".join(wrapped(title, width, 9.6)), "\n".join(wrapped(note, width, 17.5))
    above = figure.text(0, 0, head, va="top", fontsize=11, fontweight="bold", linespacing=1.2)
    below = figure.text(0, 0, foot, va="bottom", fontsize=7.5, color=MUTED, linespacing=1.3)
    top = EDGE + _inches(above)[1] + 0.03
    bottom = EDGE + _inches(below)[1] if note else EDGE / 2
    entries = _legend(figure, handles, width, legend) if handles else None
    low = bottom + (_inches(entries)[1] + 0.06 if entries else 0.0)
    tall = panels + top + low
    figure.set_size_inches(width, tall)
    above.set_position((EDGE / width, 1 - EDGE / tall))
    below.set_position((EDGE / width, 0.75 * EDGE / tall))
    if entries:
        entries.set_bbox_to_anchor((0.5, bottom / tall), figure.transFigure)
    engine = _engine(figure)
    engine.set(rect=(0, low / tall, 1, panels / tall))
    # Once is enough: the three files of a figure have one layout.
    engine.execute(figure)
    figure.set_layout_engine("none")


def wrapped(text: str, width: float, per_inch: float) -> list[str]:
    """Lines of a text in a figure `width` inches wide, of so many characters per inch."""
    return textwrap.wrap(text, int((width - 2 * EDGE) * per_inch))


def _engine(figure: Figure) -> ConstrainedLayoutEngine:
    engine = figure.get_layout_engine()
    if not isinstance(engine, ConstrainedLayoutEngine):
        raise MeasurementError("a figure of panels has constrained layout; make it with `grid`")
    return engine


def _inches(artist: Artist) -> tuple[float, float]:
    box = artist.get_window_extent()
    figure = artist.get_figure(root=True)
    assert figure is not None, "an artist that is measured is in a figure"
    return box.width / figure.dpi, box.height / figure.dpi


def _legend(figure: Figure, handles: Sequence[Artist], width: float, given: Mapping[str, Any]):  # type: ignore[no-untyped-def]
    """A legend of as few rows as fit the width, or of `ncols` columns."""
    options = {"handlelength": 3.6, "columnspacing": 1.6, "borderaxespad": 0.2, **given}
    fixed = options.pop("ncols", 0)
    for rows in range(1, len(handles) + 1):
        columns = fixed or math.ceil(len(handles) / rows)
        made = figure.legend(handles=handles, loc="lower center", ncols=columns, **options)
        if _inches(made)[0] <= width - EDGE or columns in (1, fixed):
            return made
        made.remove()


def mark_reference(axes: Axes, x: float, y: float | None = None) -> None:
    """A dotted vertical line at the value in use, and a ring around the point there."""
    axes.axvline(x, color=INK, linestyle=(0, (1, 1.6)), linewidth=1.1, zorder=1.5)
    if y is not None:
        axes.plot(
            [x], [y], marker="o", markersize=9.5, markerfacecolor="none", markeredgecolor=INK,
            markeredgewidth=1.1, linestyle="none",
        )  # fmt: skip
