"""`raw-test`: three colour planes in the shared container. A probe of the container, not a codec.

It is embedded: `planes=1` keeps the green plane, `planes=2` adds red, `planes=3` blue; a plane that
was cut is shown as the green one.
"""

from __future__ import annotations

import hashlib
import zlib

from icmbench.bitstream import container
from icmbench.codecs.base import Codec, Image, Key, check_image, check_pixels
from icmbench.core.errors import CorruptStream, TruncatedStream

ORDER = (1, 0, 2)  # green first: it is the best single stand-in for the others
MAX_PIXELS = 1 << 26


class RawTest(Codec):
    """Deflated planes, one section each."""

    name = "raw-test"
    title = "raw planes"
    extension = "icb"
    rate_key = "planes"
    cut_keys = {"planes": Key(int, default=3, low=1, high=3, help="colour planes kept")}
    settings = "deflate level 9 of the planes G, R, B, one section each; a test of the container"
    codec_id = 0
    DIGEST = hashlib.sha256(b"raw-test").digest()[: container.DIGEST_BYTES]

    def encode(self, image: Image) -> bytes:
        """The three planes of an image."""
        import numpy as np

        check_image(image)
        height, width = image.shape[:2]
        planes = [np.ascontiguousarray(image[:, :, channel]) for channel in ORDER]
        header = container.Header(self.codec_id or 0, self.DIGEST, width, height)
        return container.pack(header, [zlib.compress(plane.tobytes(), 9) for plane in planes])

    def truncate(self, stream: bytes, *, planes: int = 3) -> bytes:
        """The file with the first `planes` planes."""
        parsed = self._parse(stream)
        if len(parsed.sections) < planes:
            raise TruncatedStream(f"the stream holds {len(parsed.sections)} planes, not {planes}")
        return parsed.prefix(stream, planes)

    def decode(self, stream: bytes) -> Image:
        """The image; missing planes are filled with the first."""
        import numpy as np

        parsed = self._parse(stream)
        width, height = parsed.header.width, parsed.header.height
        check_pixels(width, height, MAX_PIXELS)
        if not 1 <= len(parsed.sections) <= 3:
            raise TruncatedStream(f"{len(parsed.sections)} planes in the stream, expected 1 to 3")
        planes = [_inflate(section, width * height) for section in parsed.sections]
        planes += planes[:1] * (3 - len(planes))
        image = np.empty((height, width, 3), np.uint8)
        for channel, plane in zip(ORDER, planes, strict=True):
            image[:, :, channel] = np.frombuffer(plane, np.uint8).reshape(height, width)
        return image

    def salvage(self, stream: bytes) -> tuple[bytes, str]:
        """The planes before the first damaged one."""
        whole = container.parse(
            stream, codec_id=self.codec_id, weights_digest=self.DIGEST, best_effort=True
        )
        planes = min(len(whole.sections), 3)
        if planes == 0:
            raise TruncatedStream("not even the first plane is whole")
        return whole.prefix(stream, planes), f"planes={planes}"

    def describe(self, stream: bytes) -> list[tuple[str, str]]:
        """Header fields and the bytes of every section."""
        parsed = self._parse(stream)
        header = parsed.header
        lines = super().describe(stream)
        lines += [("weights", header.weights_digest.hex()), ("header", f"{parsed.header_bytes} B")]
        for index, payload in enumerate(parsed.sections):
            lines.append((f"section {index}", f"{len(payload)} B, ends at {parsed.ends[index]}"))
        return lines

    def _parse(self, stream: bytes) -> container.Stream:
        return container.parse(stream, codec_id=self.codec_id, weights_digest=self.DIGEST)


def _inflate(section: bytes, expected: int) -> bytes:
    """Exactly `expected` bytes: the bound holds while inflating, not after."""
    inflater = zlib.decompressobj()
    try:
        plane = inflater.decompress(section, expected + 1)
    except zlib.error as error:
        raise CorruptStream(f"a plane does not inflate: {error}") from error
    if len(plane) != expected or not inflater.eof or inflater.unused_data:
        raise CorruptStream(f"a plane holds {len(plane)} bytes, expected {expected}")
    return plane
