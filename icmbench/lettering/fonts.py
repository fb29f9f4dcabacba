"""Faces of type: the fonts that ship inside matplotlib."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import ImageFont

from icmbench.core.errors import DatasetError

DEJAVU: Final = "Bitstream-Vera"  # SPDX identifiers
STIX: Final = "LicenseRef-STIX-Fonts"


@dataclass(frozen=True)
class Face:
    """A face: file name without suffix, and licence."""

    file: str
    licence: str = DEJAVU


SANS: Final = Face("DejaVuSans")
SANS_BOLD: Final = Face("DejaVuSans-Bold")
SANS_OBLIQUE: Final = Face("DejaVuSans-Oblique")
SERIF: Final = Face("DejaVuSerif")
SERIF_BOLD: Final = Face("DejaVuSerif-Bold")
SERIF_ITALIC: Final = Face("DejaVuSerif-Italic")
MONO: Final = Face("DejaVuSansMono")
MONO_BOLD: Final = Face("DejaVuSansMono-Bold")
TIMES: Final = Face("STIXGeneral", STIX)
TIMES_BOLD: Final = Face("STIXGeneralBol", STIX)
TIMES_ITALIC: Final = Face("STIXGeneralItalic", STIX)

FACES: Final = (
    SANS, SANS_BOLD, SANS_OBLIQUE, SERIF, SERIF_BOLD, SERIF_ITALIC, MONO, MONO_BOLD, TIMES,
    TIMES_BOLD, TIMES_ITALIC,
)  # fmt: skip


def font_folder() -> Path:
    """Folder of matplotlib's TrueType files."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def check_faces(faces: Sequence[Face] = FACES) -> None:
    """DatasetError naming the file of a face that matplotlib does not have."""
    for face in faces:
        font_file(face)


def font_file(face: Face) -> Path:
    """File of a face; DatasetError where it is missing."""
    path = font_folder() / f"{face.file}.ttf"
    if not path.is_file():
        raise DatasetError(
            f"{path}: the font is missing, which matplotlib ships: install matplotlib from its "
            "wheel (distributions of Linux may leave its fonts out)"
        )
    return path


@functools.lru_cache(maxsize=256)
def load_font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """A face at a size in pixels; the basic layout, so that texts do not depend on libraqm."""
    return ImageFont.truetype(str(font_file(face)), size, layout_engine=ImageFont.Layout.BASIC)
