"""Brands of ISO base media files (ISO/IEC 14496-12, 4.3): AVIF and HEIC share their container."""

from __future__ import annotations

import struct
from typing import Final

_GENERAL: Final = (b"mif1", b"msf1", b"miaf")  # of any coding
_AVIF: Final = (b"avif", b"avis")
_HEIC: Final = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")


def coding(data: bytes) -> str:
    """`avif`, `heic` or '' by the first brand that names a coding, the major one before others.

    Files of the general brand mif1 name their coding among the compatible brands.
    """
    if data[4:8] != b"ftyp" or len(data) < 16:
        return ""
    end = min(struct.unpack(">I", data[:4])[0], len(data))
    major, *compatible = [data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))]
    for brand in (major, *compatible) if major in _GENERAL else (major,):
        if brand in _AVIF:
            return "avif"
        if brand in _HEIC:
            return "heic"
    return ""
