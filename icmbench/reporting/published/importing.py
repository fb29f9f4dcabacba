"""Others' results files as published points; the format is recognised by content."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from icmbench.core.errors import MeasurementError
from icmbench.core.suggest import unknown
from icmbench.reporting.published.formats import aeic, codec_eval, compressai, cool_chic
from icmbench.reporting.published.formats.common import Format, Given
from icmbench.reporting.published.points import Point, checked, in_order, read_text

FORMATS: Final[Mapping[str, Format]] = {
    "compressai": compressai,
    "aeic": aeic,
    "cool-chic": cool_chic,
    "codec-eval": codec_eval,
}


def import_file(path: Path, given: Given, kind: str | None = None) -> tuple[str, list[Point]]:
    """Read a results file -> its format, and its points in order.

    Args:
        given: what the file does not say.
        kind: of `FORMATS`; None: recognised by content.

    Raises MeasurementError where the file is missing, of no known format, or holds impossible
    values, such as bits in place of bytes.
    """
    text = read_text(path, f"not a text file: {_formats()}")
    if kind is not None and kind not in FORMATS:
        raise MeasurementError(unknown("format", kind, FORMATS))
    name = kind or next((n for n, one in FORMATS.items() if one.recognises(text)), None)
    if name is None:
        raise MeasurementError(f"{path}: no known results file: {_formats()}")
    points = FORMATS[name].read(text, given)
    if not points:
        raise MeasurementError(f"{path}: holds no point")
    return name, in_order(checked(point, str(path)) for point in points)


def _formats() -> str:
    known = ", ".join(f"{one.TITLE} ({name})" for name, one in FORMATS.items())
    return f"known are {known}"
