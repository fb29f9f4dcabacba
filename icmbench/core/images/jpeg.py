"""Check that the data of a JPEG file hold the whole image.

libjpeg fills what entropy-coded data lack with grey or with repeated blocks and only warns, which
Pillow does not pass on.
"""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from PIL import Image as PillowImage

from icmbench.core.errors import ImageError

_SOI, _EOI, _SOS, _RESTARTS = 0xD8, 0xD9, 0xDA, range(0xD0, 0xD8)
# Arithmetic coders leave out zeros at the end (ITU-T T.81, D.1.8), so more data change nothing
# about completeness there.
_ARITHMETIC: Final = (*range(0xC9, 0xCC), *range(0xCD, 0xD0))
_MORE: Final = b"\x5a" * 64


def check_scans(data: bytes, picture: PillowImage.Image) -> None:
    """Refuse a JPEG file one of whose scans ends before the image does.

    A decoder that has all of its data does not depend on bytes behind them; one that lacks some
    takes whatever follows. So `data`, with bytes added to the end of every scan and restart
    interval, must give the `picture` that `data` gives.

    Raises:
        ImageError: it gives another.
    """
    longer = _with_longer_scans(data)
    if longer is None:
        return
    with PillowImage.open(io.BytesIO(longer), formats=["JPEG"]) as other:
        same = np.array_equal(np.asarray(other), np.asarray(picture))
    if not same:
        raise ImageError("damaged: truncated, a JPEG scan ends before the image does")


def check_stream(data: bytes) -> None:
    """`check_scans` for a stream inside of another file, which is decoded here."""
    with PillowImage.open(io.BytesIO(data), formats=["JPEG"]) as picture:
        check_scans(data, picture)


def _with_longer_scans(data: bytes) -> bytes | None:
    """The first image of the file, its scans lengthened; None if that says nothing."""
    parts, done, at = [], 0, 2
    while at + 4 <= len(data):
        at = data.find(b"\xff", at)  # as libjpeg skips to the next marker
        if at < 0 or at + 4 > len(data):
            break
        marker = data[at + 1]
        if marker in _ARITHMETIC:
            return None
        if marker == _EOI:
            break
        if marker in (0x00, 0x01, 0xFF, _SOI):
            at += 1 if marker == 0xFF else 2
            continue
        at += 2 if marker in _RESTARTS else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _SOS or marker in _RESTARTS:
            at = _end_of_scan(data, at)
            parts += [data[done:at], _MORE]
            done = at
    return b"".join([*parts, data[done:]])


def _end_of_scan(data: bytes, at: int) -> int:
    """Place of the next marker, behind stuffed zeros."""
    while (at := data.find(b"\xff", at)) >= 0:
        if data[at + 1 : at + 2] not in (b"\0", b"\xff"):
            return at
        at += 2 if data[at + 1 : at + 2] == b"\0" else 1
    return len(data)
