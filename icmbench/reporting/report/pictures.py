"""Pictures in the report: static figures and contact sheets, each embedded once."""

from __future__ import annotations

import gzip
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

_QUALITY: Final = 45  # of figures with photographs, whose exact files lie beside the page
_WIDTH, _HEIGHT = 960, 4000  # pixels at most
_MOST_VECTORS: Final = 80_000  # bytes, compressed


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
    """An embedded image: anchor, address, size in pixels, file name, words, files beside it.

    `vectors` is an SVG that the page packs and its script unpacks; it then has no address.
    """

    id: str
    source: str
    width: int
    height: int
    file: str
    title: str
    caption: str
    files: Sequence[tuple[str, str]] = ()
    vectors: str = ""

    @property
    def kind(self) -> str:
        """Its format."""
        return self.file.rpartition(".")[2].upper()


def figure_picture(
    number: int, figure: ReportFigure, folder: Path, *, pixels: bool = False
) -> Picture:
    """Embed a figure: a drawing as vectors, one of photographs as a small picture, with loss.

    Its own files are linked from a page in `folder`. Raises MeasurementError without the PNG.

    Args:
        pixels: never vectors, which the page's script unpacks.
    """
    stem = figure.stem
    png, svg = (stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg"))
    if not png.is_file():
        raise MeasurementError(f"figure {png} is missing")
    vectors = "" if pixels else _vectors(svg)
    with Image.open(png) as opened:
        size = opened.size
        source = "" if vectors else data_uri(_webp(opened), "image/webp")
    file = f"{stem.name}.{'svg' if vectors else 'webp'}"
    return Picture(
        f"figure-{number}", source, *size, file, figure.title, figure.caption,
        figure.files(folder), vectors,
    )  # fmt: skip


def sheet_picture(number: int, sheet: ContactSheet) -> Picture:
    """Embed a contact sheet, lossy: it is an overview, not a comparison of quality."""
    source = data_uri(_webp(Image.fromarray(sheet.image)), "image/webp")
    height, width = sheet.image.shape[:2]
    return Picture(
        f"sheet-{number}", source, width, height, f"contact-{number}.webp", sheet.title,
        sheet.caption,
    )  # fmt: skip


def _vectors(svg: Path) -> str:
    """The content of an SVG that is short once it is compressed: it holds few pixels, or none."""
    data = svg.read_bytes() if svg.is_file() else b""
    short = data and len(gzip.compress(data, 6)) <= _MOST_VECTORS
    return data.decode() if short else ""


def _webp(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    shown = image.convert("RGB")
    shown.thumbnail((_WIDTH, _HEIGHT), Image.Resampling.LANCZOS)
    shown.save(buffer, "WEBP", quality=_QUALITY)
    return buffer.getvalue()
