"""`thumbnail`: the mean colour of every block, a negative control of metrics and tasks.

A file is a header of 9 bytes and three bytes for every block, row by row::

    4  "MBLK"    1  pixels a side of a block    2  height    2  width    (big endian)
"""

from __future__ import annotations

import struct
from typing import Final

from icmbench.codecs.base import Codec, Image, Key, check_image, check_pixels
from icmbench.codecs.conventional.base import MAX_PIXELS
from icmbench.core.errors import CodecError, CorruptStream, TruncatedStream

_HEADER: Final = struct.Struct(">4sBHH")
_MAGIC: Final = b"MBLK"
_LONGEST: Final = 65535


class Thumbnail(Codec):
    """Mean of every block in code values; blocks at the right and below may be smaller."""

    name = "thumbnail"
    title = "block means"
    extension = "mblk"
    rate_key = "block"
    encode_keys = {"block": Key(int, low=2, high=255, help="pixels a side of a block")}
    settings = "icmbench: mean 8-bit RGB of every block, 24 bits a block behind 9 bytes; a control"
    packages = ("numpy",)

    def encode(self, image: Image, *, block: int) -> bytes:
        """Encode the rounded means of the blocks."""
        import numpy as np

        height, width = check_image(image).shape[:2]
        if max(height, width) > _LONGEST:
            raise CodecError(f"thumbnail codes at most {_LONGEST} pixels a side")
        rows, columns = np.arange(0, height, block), np.arange(0, width, block)
        sums = np.add.reduceat(np.add.reduceat(image.astype(np.int64), rows), columns, axis=1)
        counts = np.outer(np.diff(rows, append=height), np.diff(columns, append=width))[..., None]
        means = (2 * sums + counts) // (2 * counts)
        payload: bytes = means.astype(np.uint8).tobytes()
        return _HEADER.pack(_MAGIC, block, height, width) + payload

    def decode(self, stream: bytes) -> Image:
        """Fill every block with its mean."""
        import numpy as np

        if len(stream) < _HEADER.size:
            raise TruncatedStream("the thumbnail file ends inside its header")
        magic, block, height, width = _HEADER.unpack_from(stream)
        if magic != _MAGIC or block < 2:
            raise CorruptStream("not a thumbnail file")
        check_pixels(width, height, MAX_PIXELS)
        rows, columns = -(-height // block), -(-width // block)
        missing = _HEADER.size + 3 * rows * columns - len(stream)
        if missing > 0:
            raise TruncatedStream(f"the thumbnail file is {missing} bytes short")
        if missing < 0:
            raise CorruptStream(f"the thumbnail file has {-missing} bytes too many")
        means = np.frombuffer(stream, np.uint8, offset=_HEADER.size).reshape(rows, columns, 3)
        return means.repeat(block, 0).repeat(block, 1)[:height, :width]

    @classmethod
    def recognises(cls, data: bytes) -> bool:
        """Check a file for the signature."""
        return data.startswith(_MAGIC)
