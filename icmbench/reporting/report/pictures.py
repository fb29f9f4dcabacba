"""Pictures in the report: static figures and contact sheets, each embedded once."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from icmbench.core.errors import MeasurementError
from icmbench.reporting.artefacts import FORMATS
from icmbench.reporting.report.report_tables import data_uri

_QUALITY: Final = 80  # of photographs in figures


@dataclass(frozen=True)
class ReportFigure:
    """A saved figure: `path` is its stem or any of its .svg, .pdf, .png; `group` a heading.

    Attributes:
        explored: heading of the section whose chart or viewer shows the same; such a figure is
            not embedded, its files are named.
    """

    path: Path
    title: str
    caption: str
    group: str
    explored: str = ""

    @property
    def stem(self) -> Path:
        """The path without the suffix of a format."""
        known = self.path.suffix.removeprefix(".") in FORMATS
        return self.path.with_suffix("") if known else self.path

    def files(self, folder: Path) -> list[tuple[str, str]]:
        """Format and address of each of its files, seen from a page in `folder`."""
        stem = Path(os.path.relpath(self.stem, folder)).as_posix()
        return [(kind.upper(), quote(f"{stem}.{kind}")) for kind in FORMATS]


@dataclass(frozen=True)
class ContactSheet:
    """A grid of a data set's images, uint8 (H, W, 3)."""

    title: str
    image: NDArray[np.uint8]
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """An embedded image: anchor, address, size in pixels, file name, words, files beside it."""

    id: str
    source: str
    width: int
    height: int
    file: str
    title: str
    caption: str
    files: Sequence[tuple[str, str]] = ()

    @property
    def kind(self) -> str:
        """Its format."""
        return self.file.rpartition(".")[2].upper()


def figure_picture(number: int, figure: ReportFigure, folder: Path) -> Picture:
    """Embed a figure as WebP: a drawing without loss, one that holds photographs with loss.

    Its own files are linked from a page in `folder`. Raises MeasurementError without the PNG.
    """
    stem = figure.stem
    png, svg = (stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg"))
    if not png.is_file():
        raise MeasurementError(f"figure {png} is missing")
    with Image.open(png) as opened:
        source = data_uri(_webp(opened, lossless=not _holds_images(svg)), "image/webp")
        return Picture(
            f"figure-{number}", source, *opened.size, f"{stem.name}.webp", figure.title,
            figure.caption, figure.files(folder),
        )  # fmt: skip


def sheet_picture(number: int, sheet: ContactSheet) -> Picture:
    """Embed a contact sheet, lossy: it is an overview, not a comparison of quality."""
    source = data_uri(_webp(Image.fromarray(sheet.image), lossless=False), "image/webp")
    height, width = sheet.image.shape[:2]
    return Picture(
        f"sheet-{number}", source, width, height, f"contact-{number}.webp", sheet.title,
        sheet.caption,
    )  # fmt: skip


def _holds_images(svg: Path) -> bool:
    """A figure with pixels of images, which a lossless copy keeps at several times the size."""
    return svg.is_file() and b"<image" in svg.read_bytes()


def _webp(image: Image.Image, lossless: bool) -> bytes:
    buffer = io.BytesIO()
    # Without loss, `quality` is the effort.
    how = {"lossless": True, "quality": 30, "method": 1} if lossless else {"quality": _QUALITY}
    image.convert("RGB").save(buffer, "WEBP", **how)
    return buffer.getvalue()
