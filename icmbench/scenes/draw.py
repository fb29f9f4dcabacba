"""Images for the report: annotations drawn over an image, and contact sheets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from icmbench.core.errors import DatasetError
from icmbench.scenes.labels import CATEGORIES

Picture = NDArray[np.uint8]
_COLOURS = ((230, 60, 60), (60, 120, 240), (240, 160, 30), (150, 90, 40), (60, 190, 90),
            (170, 80, 220), (240, 220, 40), (40, 200, 210))  # fmt: skip
_LEGIBLE = 480  # pixels; smaller images are doubled before drawing


def _tinted(image: Picture, record: dict[str, Any]) -> Picture:
    from pycocotools import mask as coco_mask  # labels are read without it

    canvas = image.astype(np.float32)
    for item in record["instances"]:
        mask = coco_mask.decode(item["segmentation"]).astype(bool)
        colour = np.asarray(_COLOURS[(item["category_id"] - 1) % len(_COLOURS)], np.float32)
        canvas[mask] = canvas[mask] * 0.76 + colour * 0.24
    return np.asarray(np.rint(canvas), np.uint8)


def draw_annotations(image: Picture, record: dict[str, Any]) -> Picture:
    """Draw boxes with class names, tinted masks and landmarks on a copy of an image.

    Args:
        image: uint8 (H, W, 3).
        record: what `scene_annotations` returns for it.

    Returns:
        uint8 (kH, kW, 3), k = 2 when the shorter side is below 480 pixels, else 1.

    Raises:
        DatasetError: the record is of an image of another size.
    """
    height, width = image.shape[:2]
    if (record["height"], record["width"]) != (height, width):
        raise DatasetError(
            f"record of {record['width']} x {record['height']} drawn on {width} x {height}"
        )
    scale = 2 if min(height, width) < _LEGIBLE else 1
    picture = Image.fromarray(_tinted(image, record))
    picture = picture.resize((width * scale, height * scale), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=max(12, round(0.028 * min(picture.size))))
    names = {entry["id"]: entry["name"] for entry in CATEGORIES}
    thick = max(2, round(0.004 * min(picture.size)))
    for item in record["instances"]:
        colour = _COLOURS[(item["category_id"] - 1) % len(_COLOURS)]
        x, y, w, h = (value * scale for value in item["bbox"])
        pen.rectangle((x, y, x + w - 1, y + h - 1), outline=colour, width=thick)
        _label(pen, (x, y), str(names[item["category_id"]]), colour, font, picture.size)
    for face in record["faces"]:
        for (x, y), inside in zip(face["landmarks"], face["inside"], strict=True):
            if inside:
                _dot(pen, x * scale, y * scale, max(1.5, 0.004 * min(picture.size)))
    return np.array(picture)


def _label(pen: ImageDraw.ImageDraw, corner: tuple[float, float], text: str,
           colour: tuple[int, int, int], font: Any, size: tuple[int, int]) -> None:  # fmt: skip
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    width, height = right - left + 4, bottom - top + 4
    x = min(max(corner[0], 0), size[0] - width)
    y = corner[1] - height if corner[1] >= height else corner[1]
    pen.rectangle((x, y, x + width, y + height), fill=colour)
    dark = sum(colour) > 420
    pen.text((x + 2 - left, y + 2 - top), text, fill=(0, 0, 0) if dark else (255, 255, 255),
             font=font)  # fmt: skip


def _dot(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float) -> None:
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(60, 255, 90),
                outline=(0, 60, 0))  # fmt: skip
