"""Size and samples of a JPEG XL file, read from its header (ISO/IEC 18181-1, annex D).

libjxl's binding decodes at once, whatever size the file names: 45 kB can hold 400 megapixels.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from icmbench.core.errors import CorruptStream, TruncatedStream

CODESTREAM: Final = b"\xff\x0a"
BOXED: Final = b"\0\0\0\x0cJXL \r\n\x87\n"
_HEADER_BYTES: Final = 128  # more than the fields below can take
_RATIOS: Final = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_ALPHA: Final = 0  # ExtraChannelType


class JxlHeader(NamedTuple):
    """Size in pixels (before orientation), and the format of a pixel."""

    width: int
    height: int
    bits: int
    floating: bool
    extra_channels: int
    first_extra_is_alpha: bool


class _Bits:
    """Fields of a codestream: least significant bit first."""

    def __init__(self, data: bytes) -> None:
        self.value = int.from_bytes(data[:_HEADER_BYTES], "little")
        self.left = 8 * min(len(data), _HEADER_BYTES)

    def take(self, count: int) -> int:
        """The next `count` bits."""
        if count > self.left:
            raise TruncatedStream("the JPEG XL file ends inside its header")
        found = self.value & ((1 << count) - 1)
        self.value >>= count
        self.left -= count
        return found

    def choose(self, *choices: tuple[int, int]) -> int:
        """A U32 field: two bits choose (offset, bits)."""
        offset, bits = choices[self.take(2)]
        return offset + self.take(bits)


def read_header(data: bytes) -> JxlHeader:
    """The header of a bare codestream or of a file of boxes.

    Raises:
        TruncatedStream: the file ends inside its header.
        CorruptStream: it is no JPEG XL file.
    """
    codestream = _unboxed(data) if data.startswith(BOXED) else data[: _HEADER_BYTES + 2]
    if not codestream.startswith(CODESTREAM):
        raise CorruptStream("not a JPEG XL file")
    fields = _Bits(codestream[2:])
    width, height = _size(fields)
    if fields.take(1):  # all_default
        return JxlHeader(width, height, 8, False, 0, False)
    if fields.take(1):  # extra_fields
        _skip_extra_fields(fields)
    floating = bool(fields.take(1))
    if floating:
        bits = fields.choose((32, 0), (16, 0), (24, 0), (1, 6))
        fields.take(4)  # exponent
    else:
        bits = fields.choose((8, 0), (10, 0), (12, 0), (1, 6))
    fields.take(1)  # modular_16bit_buffers
    extra = fields.choose((0, 0), (1, 0), (2, 4), (1, 12))
    alpha = False
    if extra:  # its type, unless all is default: alpha of 8 bits
        alpha = bool(fields.take(1)) or fields.choose((0, 0), (1, 0), (2, 4), (18, 6)) == _ALPHA
    return JxlHeader(width, height, bits, floating, extra, alpha)


def _unboxed(data: bytes) -> bytes:
    """The first bytes of the codestream inside of boxes."""
    found, at = b"", 0
    while at + 8 <= len(data) and len(found) < _HEADER_BYTES + 2:
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        start = at + 8
        if size == 1:
            size, start = int.from_bytes(data[start : start + 8], "big"), start + 8
        end = len(data) if size == 0 else at + size
        if end < start:
            raise CorruptStream("a box of the JPEG XL file is shorter than its header")
        if kind in (b"jxlc", b"jxlp"):  # a partial codestream has its number in front
            first = start + (4 if kind == b"jxlp" else 0)
            found += data[first : min(end, first + _HEADER_BYTES + 2)]
        at = end
    if not found:
        raise TruncatedStream("the JPEG XL file holds no codestream")
    return found


def _size(fields: _Bits) -> tuple[int, int]:
    """SizeHeader: width and height."""
    small = fields.take(1)

    def side() -> int:
        if small:
            return 8 * (fields.take(5) + 1)
        return fields.choose((1, 9), (1, 13), (1, 18), (1, 30))

    height = side()
    ratio = fields.take(3)
    if ratio == 0:
        return side(), height
    times, over = _RATIOS[ratio - 1]
    return height * times // over, height


def _skip_extra_fields(fields: _Bits) -> None:
    fields.take(3)  # orientation, which libjxl applies
    if fields.take(1):  # intrinsic size
        _size(fields)
    if fields.take(1):  # preview
        sides = ((1, 6), (65, 8), (321, 10), (1345, 12))
        if fields.take(1):
            sides = ((16, 0), (32, 0), (1, 5), (33, 9))
        fields.choose(*sides)
        if fields.take(3) == 0:
            fields.choose(*sides)
    if fields.take(1):  # animation
        fields.choose((100, 0), (1000, 0), (1, 10), (1, 30))
        fields.choose((1, 0), (1001, 0), (1, 8), (1, 10))
        fields.choose((0, 0), (0, 3), (0, 16), (0, 32))
        fields.take(1)
