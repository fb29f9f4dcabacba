"""Symbols as modules: QR by segno, the other formats by the writer of zxing-cpp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from icmbench.barcodes.formats import FORMATS
from icmbench.core.errors import DatasetError


@dataclass(frozen=True)
class Symbol:
    """A symbol without its quiet zone.

    Attributes:
        kind: a name of `FORMATS`.
        text: that a reader returns.
        cells: bool (down, across), True: dark; of a linear symbol one row, its bars.
    """

    kind: str
    text: str
    cells: NDArray[np.bool_]

    @property
    def across(self) -> int:
        """Modules across."""
        return int(self.cells.shape[1])

    @property
    def down(self) -> int:
        """Modules down; 0: a linear symbol."""
        return 0 if FORMATS[self.kind].linear else int(self.cells.shape[0])


def make_symbol(kind: str, text: str) -> Symbol:
    """The symbol of a text, as small as possible: QR of error correction M, Data Matrix square.

    Raises DatasetError for an unknown format, a text that it cannot hold, or a missing package.
    """
    if kind not in FORMATS:
        raise DatasetError(f"unknown format of bar codes {kind!r}; there are {', '.join(FORMATS)}")
    try:
        cells = _qr(text) if kind == "qr" else _written(kind, text)
    except ImportError as error:
        raise DatasetError(
            f"bar codes need the Python packages segno and zxing-cpp ({error}): `pip install segno "
            "zxing-cpp`"
        ) from error
    except ValueError as error:
        raise DatasetError(f"{text!r} cannot be a {FORMATS[kind].title} symbol: {error}") from error
    return Symbol(kind, text, cells[:1] if FORMATS[kind].linear else cells)


def ean13(digits: str) -> str:
    """Twelve digits and their check digit (ISO/IEC 15420): weights 1, 3, 1, 3, ..."""
    total = sum(int(digit) * (1, 3)[n % 2] for n, digit in enumerate(digits))
    return f"{digits}{-total % 10}"


def _qr(text: str) -> NDArray[np.bool_]:
    import segno

    made = segno.make(text, error="m", micro=False, boost_error=False)
    return np.asarray(np.array([list(row) for row in made.matrix]) == 1)


def _written(kind: str, text: str) -> NDArray[np.bool_]:
    import zxingcpp

    square = {"force_square": True} if kind == "data_matrix" else {}
    made = zxingcpp.create_barcode(text, getattr(zxingcpp, FORMATS[kind].zxing), **square)
    image = zxingcpp.write_barcode_to_image(made, scale=1, add_quiet_zones=False)
    return np.asarray(image) < 128
