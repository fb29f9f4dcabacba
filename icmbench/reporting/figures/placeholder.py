"""Placeholder for a figure without anything to draw: its title and the reason."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from icmbench.reporting.figures.panels import EDGE, wrapped
from icmbench.reporting.figures.sheets import Sheet
from icmbench.reporting.figures.style import MUTED, theme

_WIDTH = 5.6


def placeholder(title: str, reason: str) -> Figure:
    """Draw the title and the reason why the expected figure is empty.

    A run in which every codec failed on a data set still has a complete report, with the reason in
    place of the figure.
    """
    lines = wrapped(reason, 0.8 * _WIDTH, 17.5)
    with theme():
        sheet = Sheet(_WIDTH, 0.55 + 0.16 * len(lines), title, "")
        left, top = EDGE / _WIDTH, 1 - sheet.top / sheet.tall
        sheet.figure.add_artist(
            Rectangle((left, left), 1 - 2 * left, top - left, fill=False, edgecolor="#b4b7ba",
                      linestyle=(0, (4, 3)), transform=sheet.figure.transFigure)
        )  # fmt: skip
        words = "Nothing to draw:\n" + "\n".join(lines)
        middle = (sheet.top + sheet.tall - EDGE) / 2
        style = {"fontsize": 8.5, "color": MUTED, "linespacing": 1.4}
        sheet.text(_WIDTH / 2, middle, words, ha="center", va="center", **style)
    return sheet.figure


def placeholder_pixels(title: str, reason: str) -> NDArray[np.uint8]:
    """`placeholder` as an image: uint8 (H, W, 3)."""
    with theme():
        canvas = FigureCanvasAgg(placeholder(title, reason))
        canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba(), dtype=np.uint8)  # type: ignore[no-untyped-call]
    return pixels[..., :3].copy()
