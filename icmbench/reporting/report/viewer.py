"""Pixels of the report's viewer: crops of originals and reconstructions, coded without loss."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from icmbench.core.errors import MeasurementError
from icmbench.reporting.figures.matching import Box, choose_crops
from icmbench.reporting.report.report_tables import data_uri

BUDGET: Final = 1_800_000  # bytes of all crops in the page
# Sides of crops in pixels, the first that fits the share of an image; 0: the whole image.
SIDES: Final = (0, 512, 384, 320, 288, 256, 224, 192, 160, 128, 96, 64)
_BASE64: Final = 4 / 3
Pixels: TypeAlias = NDArray[np.uint8]
Crop: TypeAlias = tuple[int, int, int, int]  # left, top, width, height


def viewer_data(archives: Sequence[Path], budget: int = BUDGET) -> list[dict[str, Any]]:
    """The images of the viewer as JSON types, the pixels in `data:` addresses.

    Every image has an equal share of the budget; its crop is the largest one that fits: the whole
    image, or the square with most detail in the original. Images without a reconstruction are
    left out.

    Args:
        archives: of `studies.visuals.write_viewer_images`.
        budget: bytes in the page.
    """
    shown = [found for path in archives if (found := _read(path)) is not None]
    return [_image(content, pixels, budget // len(shown)) for content, pixels in shown]


def _read(path: Path) -> tuple[dict[str, Any], list[Pixels]] | None:
    """The description and the images of an archive, the original first; None: nothing to show."""
    try:
        with zipfile.ZipFile(path) as source:
            content: dict[str, Any] = json.loads(source.read("comparison.json"))
            if not content["entries"]:
                return None
            names = ["original.png", *(entry["file"] for entry in content["entries"])]
            return content, [_pixels(source.read(name)) for name in names]
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise MeasurementError(f"{path}: no archive of a visual comparison: {error}") from error


def _pixels(png: bytes) -> Pixels:
    with Image.open(io.BytesIO(png)) as opened:
        return np.asarray(opened.convert("RGB"))


def _image(content: dict[str, Any], pixels: Sequence[Pixels], share: int) -> dict[str, Any]:
    crop, coded = _coded(pixels, share)
    sources = [data_uri(data, "image/webp") for data in coded]
    entries: list[dict[str, Any]] = [
        {"family": "original", "codec": "", "bpp": None, "values": {}, "source": sources[0]}
    ]
    for entry, source in zip(content["entries"], sources[1:], strict=True):
        named = {key: entry[key] for key in ("family", "codec", "bpp", "values")}
        entries.append({**named, "source": source})
    height, width = pixels[0].shape[:2]
    return {
        "name": f"{content['image']}, {content['dataset']}, at about {content['bpp']:g} bpp",
        "size": [width, height],
        "crop": crop,
        "left_out": content["left_out"],
        "entries": entries,
    }


def _coded(pixels: Sequence[Pixels], share: int) -> tuple[Crop, list[bytes]]:
    """The largest crop that fits, and the coded images: few are tried, coding takes its time."""
    fits = math.inf
    for side in SIDES:
        crop = _crop(pixels, side)
        left, top, wide, high = crop
        if wide * high > fits and side != SIDES[-1]:
            continue
        coded = [_lossless(image[top : top + high, left : left + wide]) for image in pixels]
        size = sum(len(data) for data in coded) * _BASE64
        if size <= share:
            break
        fits = wide * high * share / size
    return crop, coded


def _crop(pixels: Sequence[Pixels], side: int) -> Crop:
    """Left, top, width and height of a crop; side 0: the whole image."""
    height, width = pixels[0].shape[:2]
    if side == 0 or side >= max(width, height):
        return 0, 0, width, height
    box: Box = choose_crops(pixels[0], pixels[1:], side)[0]
    return box.left, box.top, box.side, box.side


def _lossless(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=True, quality=75, method=4)
    return buffer.getvalue()
