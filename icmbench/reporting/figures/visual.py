"""Visual comparison: original and reconstructions at one rate, with enlarged crops."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image as PillowImage

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.matching import Box, choose_crops
from icmbench.reporting.figures.placeholder import placeholder
from icmbench.reporting.figures.style import DPI, INK, MUTED, theme

Pixels = NDArray[np.uint8]
ZOOM = 3
# Solid and dashed, light and dark: the two boxes differ without colour too.
_BOX = (("#ffd400", "-"), ("#00e5ff", (0, (4, 2))))
_GAP = 8
_TITLE = 74
_COLUMN_GAP = 26
_MARGIN = 24


@dataclass(frozen=True)
class Entry:
    """One reconstruction with its rate and quality.

    Attributes:
        family: name of the codec entry.
        codec: codec spec.
        bpp: rate on this image.
        psnr: on this image, in dB; None where it was not measured.
        image: uint8 (H, W, 3).
        scores: further values to print, label -> text.
    """

    family: str
    codec: str
    bpp: float
    psnr: float | None
    image: Pixels
    scores: dict[str, str] = field(default_factory=dict)


class _Canvas:
    """A figure addressed in pixels from its upper left corner, so that crops stay exact."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / DPI, height / DPI))

    def picture(self, pixels: Pixels, left: int, top: int):  # type: ignore[no-untyped-def]
        high, wide = pixels.shape[:2]
        axes = self.figure.add_axes(
            (left / self.width, 1 - (top + high) / self.height, wide / self.width,
             high / self.height)
        )  # fmt: skip
        axes.imshow(pixels, interpolation="none", extent=(0, wide, high, 0), aspect="auto")
        axes.set_axis_off()
        return axes

    def text(self, words: str, left: float, top: float, **style: object) -> None:
        self.figure.text(
            left / self.width,
            1 - top / self.height,
            words,
            va="top",
            **style,  # type: ignore[arg-type]
        )


def _thumbnail(pixels: Pixels, width: int) -> Pixels:
    height = max(1, round(pixels.shape[0] * width / pixels.shape[1]))
    shrunk = PillowImage.fromarray(pixels).resize((width, height), PillowImage.Resampling.LANCZOS)
    return np.asarray(shrunk)


def _zoom(pixels: Pixels, box: Box) -> Pixels:
    part = pixels[box.top : box.top + box.side, box.left : box.left + box.side]
    return part.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)


def _frame(axes, left: float, top: float, size: float, which: int) -> None:  # type: ignore[no-untyped-def]
    colour, dash = _BOX[which % 2]
    for edge, width, line in (("black", 2.0, "-"), (colour, 1.1, dash)):
        axes.add_patch(
            Rectangle((left, top), size, size, fill=False, edgecolor=edge, linewidth=width,
                      linestyle=line, clip_on=False)
        )  # fmt: skip


def _column(
    canvas: _Canvas, pixels: Pixels, words: tuple[str, str, str], boxes: Sequence[Box],
    left: int, top: int, width: int,
) -> None:  # fmt: skip
    """Title lines, the whole image with the boxes, then the crops side by side."""
    canvas.text(words[0], left, top, fontsize=8.5, fontweight="bold", color=INK)
    canvas.text(words[1], left, top + 27, fontsize=6, color=INK)
    canvas.text(words[2], left, top + 49, fontsize=5.2, color=MUTED)
    small = _thumbnail(pixels, width)
    axes = canvas.picture(small, left, top + _TITLE)
    ratio = width / pixels.shape[1]
    for which, box in enumerate(boxes):
        _frame(axes, box.left * ratio, box.top * ratio, box.side * ratio, which)
    below = top + _TITLE + small.shape[0] + _GAP
    for which, box in enumerate(boxes):
        crop = canvas.picture(_zoom(pixels, box), left + which * (box.side * ZOOM + _GAP), below)
        _frame(crop, 1.5, 1.5, box.side * ZOOM - 3, which)


def _words(entry: Entry) -> tuple[str, str, str]:
    quality = ""
    if entry.psnr is not None:
        quality = " · PSNR " + ("lossless" if np.isinf(entry.psnr) else f"{entry.psnr:.2f} dB")
    scores = "".join(f" · {label} {value}" for label, value in entry.scores.items())
    codec = entry.codec if len(entry.codec) <= 52 else entry.codec[:51] + "…"
    return entry.family, f"{entry.bpp:.3f} bpp{quality}{scores}", codec


def visual_comparison(
    original: Pixels,
    entries: Sequence[Entry],
    boxes: Sequence[Box] | None = None,
    *,
    title: str = "",
    left_out: Sequence[str] = (),
    columns: int = 5,
) -> Figure:
    """Show the original and each reconstruction: whole, and two crops enlarged three times.

    Crops are drawn pixel by pixel (nearest neighbour; one image pixel is 3 x 3 pixels of the PNG);
    the whole images are resampled to the column width. Without entries, a placeholder is drawn.

    Args:
        original: uint8 (H, W, 3); every entry's image has this shape.
        boxes: two square crops of one size; by default `choose_crops` decides.
        title: heading, such as image id and target rate.
        left_out: codec entries without a point near the rate, named in the note.
        columns: images in a row at most, the original included; rows are filled evenly.

    Raises:
        MeasurementError: an image of another shape, or a box outside the image.
    """
    if not entries:
        names = f": {', '.join(left_out)}" if left_out else ""
        return placeholder(
            title or "Visual comparison", f"no codec has a point near this rate{names}."
        )
    if any(entry.image.shape != original.shape for entry in entries):
        raise MeasurementError("a comparison needs reconstructions of the original's size")
    boxes = boxes if boxes is not None else choose_crops(original, [e.image for e in entries])
    high, wide = original.shape[:2]
    if len(boxes) != 2 or len({box.side for box in boxes}) != 1:
        raise MeasurementError("a comparison shows two crops of one size")
    if any(b.left < 0 or b.top < 0 or b.left + b.side > wide or b.top + b.side > high
           for b in boxes):  # fmt: skip
        raise MeasurementError(f"a crop lies outside the image of {wide} x {high}")
    width = 2 * boxes[0].side * ZOOM + _GAP
    size = f"{wide} \u00d7 {high} px"
    shown = [(original, ("original", size, "boxes: the crops below"))]
    shown += [(entry.image, _words(entry)) for entry in entries]
    rows = -(-len(shown) // columns)
    across = -(-len(shown) // rows)
    row_height = _TITLE + round(high * width / wide) + 2 * _GAP + boxes[0].side * ZOOM + 22
    note = (
        f"Crops: {boxes[0].side} \u00d7 {boxes[0].side} px, \u00d7{ZOOM} nearest neighbour; "
        "solid box: most detail in the original, dashed: codecs differ most. "
        "Whole images are resampled."
    )
    if left_out:
        note += f" No point near this rate: {', '.join(left_out)}."
    total = 2 * _MARGIN + across * width + (across - 1) * _COLUMN_GAP
    lines = textwrap.wrap(note, max(40, total // 11))
    head = 66 if title else 16
    with theme():
        canvas = _Canvas(total, head + rows * row_height + 24 + 23 * len(lines))
        if title:
            canvas.text(title, _MARGIN, 16, fontsize=10.5, fontweight="bold", color=INK)
        for index, (pixels, words) in enumerate(shown):
            left = _MARGIN + index % across * (width + _COLUMN_GAP)
            _column(canvas, pixels, words, boxes, left, head + index // across * row_height, width)
        canvas.text("\n".join(lines), _MARGIN, head + rows * row_height, fontsize=6.3, color=MUTED)
    return canvas.figure
