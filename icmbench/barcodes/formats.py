"""Formats of bar codes: names, quiet zones, and the number of modules of a symbol.

Quiet zones are the smallest ones of ISO/IEC 18004 (QR Code), 16022 (Data Matrix), 15420 (EAN) and
15417 (Code 128), in modules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Format:
    """A format of bar codes.

    Attributes:
        title: in figures and tables.
        zxing: its name in the Python package zxingcpp.
        quiet: modules left, top, right and bottom of the symbol that stay empty.
        linear: True where only the widths of bars matter.
    """

    title: str
    zxing: str
    quiet: tuple[int, int, int, int]
    linear: bool


FORMATS: Final[Mapping[str, Format]] = {
    "qr": Format("QR", "QRCode", (4, 4, 4, 4), False),
    "data_matrix": Format("Data Matrix", "DataMatrix", (1, 1, 1, 1), False),
    "ean13": Format("EAN-13", "EAN13", (11, 0, 7, 0), True),
    "code128": Format("Code 128", "Code128", (10, 0, 10, 0), True),
}

SMALLEST: Final = 12  # modules of the shortest Data Matrix but one, 10 x 10, with its quiet zone
EAN13_MODULES: Final = 95


def modules(kind: str, text: str, extra: Any) -> tuple[int, int]:
    """Modules across and down of a symbol that zxing-cpp has read; (0, 0): unknown.

    A linear symbol has no modules down: 0. Of Code 128 they are those of the shortest encoding of
    the text.

    Args:
        extra: the reader's `Barcode.extra`, a dictionary or None; `Version` is the size of a
            matrix symbol.
    """
    if kind == "ean13":
        return EAN13_MODULES, 0
    if kind == "code128":
        return _code128(text), 0
    version = str((extra or {}).get("Version", ""))
    if kind == "qr" and version.isdecimal():
        side = 17 + 4 * int(version)
        return side, side
    if found := re.fullmatch(r"(\d+)x(\d+)", version):
        return int(found[2]), int(found[1])
    return 0, 0


def _code128(text: str) -> int:
    import zxingcpp

    try:
        symbol = zxingcpp.create_barcode(text, zxingcpp.Code128)
    except ValueError:  # the writer takes fewer characters than the reader
        return 0
    return int(zxingcpp.write_barcode_to_image(symbol, add_quiet_zones=False).shape[1])
