"""A data set at a glance: its images in a grid, each with its name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.placeholder import placeholder_pixels

Pixels = NDArray[np.uint8]
_PAD = 6
_LINE = 18
_PAPER = (255, 255, 255)
_MAT = (236, 238, 240)
_INK = (34, 34, 34)


def _fit(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """The text, shortened in the middle until it fits: ids often differ at their ends."""
    if font.getlength(text) <= width:
        return text
    for keep in range(len(text) - 1, 1, -1):
        head = (keep + 1) // 2
        short = f"{text[:head]}…{text[len(text) - (keep - head) :]}"
        if font.getlength(short) <= width:
            return short
    return "…"


def contact_sheet(
    images: Sequence[Pixels], titles: Sequence[str], columns: int = 8, cell: int = 160
) -> Pixels:
    """Lay images out in a grid with their titles below.

    Args:
        images: uint8 (H, W, 3), any sizes; larger ones are reduced to fit, small ones stay as they
            are and are never enlarged.
        titles: one per image, shortened in the middle if too wide.
        columns: images in a row.
        cell: side of an image's square in pixels.

    Returns:
        uint8 (rows * (cell + 24) + 6, columns * (cell + 6) + 6, 3); fewer columns if there are
        fewer images. Without any image (all were refused), an image that says so.

    Raises:
        MeasurementError: another number of titles, or a size below 1.
    """
    if len(images) != len(titles):
        raise MeasurementError(f"{len(images)} images and {len(titles)} titles for a contact sheet")
    if columns < 1 or cell < 1:
        raise MeasurementError(f"a contact sheet of {columns} columns and cells of {cell} pixels")
    if not images:
        return placeholder_pixels("Contact sheet", "the data set has no usable image.")
    across = min(columns, len(images))
    down = -(-len(images) // across)
    step_x, step_y = cell + _PAD, cell + _LINE + _PAD
    sheet = PillowImage.new("RGB", (across * step_x + _PAD, down * step_y + _PAD), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(11)
    for index, (pixels, title) in enumerate(zip(images, titles, strict=True)):
        left, top = _PAD + index % across * step_x, _PAD + index // across * step_y
        draw.rectangle((left, top, left + cell - 1, top + cell - 1), fill=_MAT)
        picture = PillowImage.fromarray(pixels)
        picture.thumbnail((cell, cell), PillowImage.Resampling.LANCZOS)
        sheet.paste(
            picture, (left + (cell - picture.width) // 2, top + (cell - picture.height) // 2)
        )
        draw.text((left, top + cell + 2), _fit(title, font, cell), font=font, fill=_INK)
    return np.asarray(sheet)
