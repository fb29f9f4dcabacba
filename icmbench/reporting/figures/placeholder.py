"""What stands in a figure's place where there is nothing to draw: its title and the reason."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from icmbench.reporting.figures.axes import heading, wrap_note
from icmbench.reporting.figures.style import MUTED, theme

_WIDTH = 5.6


def placeholder(title: str, reason: str) -> Figure:
    """A small figure that says why the expected one is empty.

    A run in which every codec failed on a data set still has a report, and the place of the missing
    figure tells what happened.
    """
    lines = wrap_note(reason, 0.8 * _WIDTH)
    tall = 1.1 + 0.16 * len(lines)
    with theme():
        figure = Figure(figsize=(_WIDTH, tall))
        frame = (0.12 / _WIDTH, 0.12 / tall, 1 - 0.24 / _WIDTH, 1 - 0.52 / tall)
        figure.add_artist(
            Rectangle(frame[:2], *frame[2:], fill=False, edgecolor="#b4b7ba", linestyle=(0, (4, 3)),
                      transform=figure.transFigure)
        )  # fmt: skip
        heading(figure, title)
        figure.text(
            0.5, frame[1] + frame[3] / 2, "Nothing to draw:\n" + "\n".join(lines), ha="center",
            va="center", fontsize=8.5, color=MUTED, linespacing=1.4,
        )  # fmt: skip
    return figure


def placeholder_pixels(title: str, reason: str) -> NDArray[np.uint8]:
    """`placeholder` as a picture: uint8 (H, W, 3)."""
    with theme():
        canvas = FigureCanvasAgg(placeholder(title, reason))
        canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba(), dtype=np.uint8)  # type: ignore[no-untyped-call]
    return pixels[..., :3].copy()
