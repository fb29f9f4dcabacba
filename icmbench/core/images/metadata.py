"""Metadata that decide how pixels are shown: orientation, and colour that EXIF declares.

No metadata can lose an image: what cannot be read is ignored and named in a note.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from PIL import ExifTags
from PIL import Image as PillowImage

ORIENTATION: Final = 0x0112  # the tag of EXIF and of TIFF
ADOBE_RGB, UNCALIBRATED = "Adobe RGB", "uncalibrated"
_COLOUR_SPACE: Final = 0xA001
_TIFF_COLOUR: Final = {301: "TransferFunction", 318: "WhitePoint", 319: "PrimaryChromaticities"}
# Of the tags 318 and 319 in TIFF 6.0's order: x and y of white; of red, green and blue.
_SRGB_TAGS: Final = {318: (0.3127, 0.329), 319: (0.64, 0.33, 0.3, 0.6, 0.15, 0.06)}
_ADOBE_TAGS: Final = {318: (0.3127, 0.329), 319: (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)}
_XMP_ORIENTATION: Final = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([0-9])""")

T = TypeVar("T")


@dataclass
class Metadata:
    """Metadata of one image.

    Attributes:
        orientation: 1 to 8 as in EXIF; 1 where none is declared.
        icc: the ICC profile, None without one.
        png_colour: content of PNG's cICP, sRGB, gAMA and cHRM by name.
        exif_colour: '', `ADOBE_RGB` or `UNCALIBRATED`.
        colour_tags: names of TIFF's colour tags whose values are not those of sRGB.
        notes: metadata that could not be read.
    """

    orientation: int = 1
    icc: bytes | None = None
    png_colour: dict[bytes, bytes] = field(default_factory=dict)
    exif_colour: str = ""
    colour_tags: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_metadata(
    exif: bytes = b"", xmp: bytes = b"", *, tiff: bytes = b"", icc: bytes | None = None
) -> Metadata:
    """The metadata of EXIF and XMP bytes, or of the first page of a TIFF file.

    XMP's orientation counts where EXIF has none, as in Pillow.
    """
    metadata = Metadata(icc=icc or None)
    tags = PillowImage.Exif()

    def load() -> None:
        if tiff:
            order = "<" if tiff[:2] == b"II" else ">"
            tags.endian, tags.bigtiff = order, 43 in tiff[2:4]
            place = (order + "Q", tiff[8:16]) if tags.bigtiff else (order + "I", tiff[4:8])
            tags.load_from_fp(io.BytesIO(tiff), struct.unpack(*place)[0])
        elif exif:
            tags.load(exif)

    _ignoring_faults(load, None, metadata)
    value = _ignoring_faults(lambda: tags.get(ORIENTATION), None, metadata)
    if value is None and (found := _XMP_ORIENTATION.search(xmp)):
        value = int(found[1])
    if isinstance(value, int) and 1 <= value <= 8:
        metadata.orientation = value
    metadata.exif_colour = _ignoring_faults(lambda: _exif_colour(tags), "", metadata)
    metadata.colour_tags = _ignoring_faults(
        lambda: _colour_tags(tags, metadata.exif_colour), [], metadata
    )
    return metadata


def _exif_colour(tags: PillowImage.Exif) -> str:
    """DCF 2.0's optional colour space: uncalibrated, with interoperability index R03.

    Some cameras write 2 instead, which no standard has and readers take for Adobe RGB.
    """
    space = tags.get_ifd(ExifTags.IFD.Exif).get(_COLOUR_SPACE)
    if space == 2:
        return ADOBE_RGB
    if space != 0xFFFF:
        return ""
    index = tags.get_ifd(ExifTags.IFD.Interop).get(1, "")
    text = index.decode("latin-1") if isinstance(index, bytes) else str(index)
    return ADOBE_RGB if text.startswith("R03") else UNCALIBRATED


def _colour_tags(tags: PillowImage.Exif, exif_colour: str) -> list[str]:
    found = []
    for tag, name in _TIFF_COLOUR.items():
        numbers = _numbers(tags.get(tag))
        declared = exif_colour == ADOBE_RGB and _close(numbers, _ADOBE_TAGS.get(tag))
        if numbers and not declared and not _close(numbers, _SRGB_TAGS.get(tag)):
            found.append(name)
    return found


def _numbers(value: object) -> tuple[float, ...]:
    values = value if isinstance(value, tuple) else () if value is None else (value,)
    return tuple(float(number) for number in values)


def _close(numbers: tuple[float, ...], expected: tuple[float, ...] | None) -> bool:
    if expected is None or len(numbers) != len(expected):
        return False
    return all(abs(a - b) <= 0.002 for a, b in zip(numbers, expected, strict=True))


def _ignoring_faults(read: Callable[[], T], instead: T, metadata: Metadata) -> T:
    """`read()`, or `instead` and a note where the metadata are malformed."""
    try:
        return read()
    # All that Pillow's parsers and its lazy values were seen to raise on malformed entries.
    except (
        ArithmeticError, AttributeError, AssertionError, LookupError, OSError, SyntaxError,
        TypeError, ValueError, RuntimeError, struct.error,
    ):  # fmt: skip
        if "unreadable EXIF ignored" not in metadata.notes:
            metadata.notes.append("unreadable EXIF ignored")
        return instead
