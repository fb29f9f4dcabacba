"""A codec in one file: it keeps the top bits of block means. Copy it and put yours in its place."""

from __future__ import annotations

import hashlib
import zlib

import numpy as np

from icmbench.bitstream import container
from icmbench.codecs.base import Codec, Image, Key, check_image, check_pixels
from icmbench.core.errors import CorruptStream


class Halftone(Codec):
    """Means of 8x8 blocks, reduced to `bits` bits, deflated."""

    name = "halftone"
    title = "Halftone (template)"
    extension = "icb"
    encode_keys = {"bits": Key(int, default=4, low=1, high=8, help="bits kept of each mean")}
    settings = "means of 8x8 blocks, deflate level 9"
    codec_id = 24  # 24-31 are for codecs outside icmbench
    # A trained codec puts the sha256 of its weights here, so that a wrong model is an error.
    DIGEST = hashlib.sha256(b"halftone-1").digest()[: container.DIGEST_BYTES]

    def encode(self, image: Image, *, bits: int = 4) -> bytes:
        """Header, then one section: `bits`, and the quantised means."""
        check_image(image)
        height, width = image.shape[:2]
        padded = np.pad(image, ((0, -height % 8), (0, -width % 8), (0, 0)), mode="edge")
        rows, columns = padded.shape[0] // 8, padded.shape[1] // 8
        means = padded.reshape(rows, 8, columns, 8, 3).mean(axis=(1, 3))
        levels = (means * ((1 << bits) - 1) / 255 + 0.5).astype(np.uint8)
        header = container.Header(self.codec_id, self.DIGEST, width, height)
        return container.pack(header, [bytes([bits]) + zlib.compress(levels.tobytes(), 9)])

    def decode(self, stream: bytes) -> Image:
        """Blocks of constant colour, cropped to the image's size."""
        parsed = container.parse(stream, codec_id=self.codec_id, weights_digest=self.DIGEST)
        width, height = parsed.header.width, parsed.header.height
        check_pixels(width, height, 1 << 26)
        if len(parsed.sections) != 1 or not parsed.sections[0]:
            raise CorruptStream("a halftone stream has one section")
        bits, packed = parsed.sections[0][0], parsed.sections[0][1:]
        rows, columns = -(-height // 8), -(-width // 8)
        try:
            plain = zlib.decompressobj().decompress(packed, rows * columns * 3 + 1)
        except zlib.error as error:
            raise CorruptStream(f"the means do not inflate: {error}") from error
        if not 1 <= bits <= 8 or len(plain) != rows * columns * 3:
            raise CorruptStream("the means do not fit the image")
        levels = np.frombuffer(plain, np.uint8).reshape(rows, columns, 3)
        means = np.minimum(levels.astype(np.uint32) * 255 // ((1 << bits) - 1), 255)
        blocks = means.astype(np.uint8).repeat(8, axis=0).repeat(8, axis=1)
        return np.ascontiguousarray(blocks[:height, :width])
