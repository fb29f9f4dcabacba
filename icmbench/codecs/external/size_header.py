"""Size of an image where neither a program's file nor its picture gives it.

The header precedes the program's file and counts in the rate:

    none     the decoder's picture has the size of the image
    parity   1 byte: 4:2:0 was padded to even sides; bit 0: the width is odd, bit 1: the height
    size     width and height, 7 bits a byte, low bits first (2 + 2 bytes from 128 to 16383 pixels)
"""

from __future__ import annotations

from typing import Final, Literal

from icmbench.bitstream.container import decode_varint, encode_varint
from icmbench.codecs.base import check_pixels
from icmbench.core.errors import CorruptStream, TruncatedStream

Header = Literal["none", "parity", "size"]
WORDS: Final = {
    "none": "",
    "parity": "1 byte in front: whether the sides are odd",
    "size": "4 bytes in front: width and height (fewer below 128 pixels a side)",
}
MAX_PIXELS: Final = 1 << 28


def write_header(kind: Header, width: int, height: int) -> bytes:
    """The header of an image's size."""
    if kind == "parity":
        return bytes([width % 2 | height % 2 << 1])
    return encode_varint(width) + encode_varint(height) if kind == "size" else b""


def split_header(kind: Header, stream: bytes) -> tuple[tuple[int, int], bytes]:
    """Split a stream into the content of its header and the program's file.

    The content of `size`: width and height; of the others: pixels to cut off on the right and at
    the bottom. Raises TruncatedStream and CorruptStream.
    """
    if kind == "none":
        return (0, 0), stream
    if kind == "parity":
        if not stream:
            raise TruncatedStream("the stream is empty")
        if stream[0] > 3:
            raise CorruptStream(f"the first byte is {stream[0]}: the sides are odd or even: 0 to 3")
        return (stream[0] & 1, stream[0] >> 1), stream[1:]
    width, behind = decode_varint(stream, 0, max_bytes=3)
    height, behind = decode_varint(stream, behind, max_bytes=3)
    check_pixels(width, height, MAX_PIXELS)
    return (width, height), stream[behind:]
