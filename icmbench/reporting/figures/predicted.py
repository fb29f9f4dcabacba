"""Input of a drawing of predictions, and the panels of its sheet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.transforms import Affine2D, Transform

from icmbench.reporting.figures.sheets import Panel
from icmbench.reporting.figures.task_overlays import Pixels
from icmbench.tasks.base import Prediction

WORDS: Final = 29  # characters of a line above the narrowest image
SMALL: Final = 5.2  # points, of a name in a picture


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


def panel(one: Predicted, picture: Pixels, fact: str) -> Panel:
    """A panel of the sheet: name, size or rate, `fact`, and the codec spec."""
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


def counted(count: int, what: str) -> str:
    """`1 face`, `2 faces`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def pixels(axes: Axes, height: int, width: int) -> Transform:
    """Transform from image pixels to the display; axes of a sheet are the unit square, y up."""
    unit = Affine2D().scale(1 / width, -1 / height).translate(0, 1)
    return unit + axes.transData
