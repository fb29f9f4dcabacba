r"""The container of the learned codecs: a header of 10-14 bytes and a chain of sections.

::

    offset  bytes  field
    0       2      magic  C9 1C
    2       1      version (3 bits) | codec id (5 bits)
    3       4      weights digest: the first 4 bytes of the model's sha256
    7       1-3    width,  varint (7 bits a byte, low bits first)
    ..      1-3    height, varint
    ..      1      CRC-8 of all bytes before it
    then, once per section:
    ..      1-3    payload length, varint
    ..      2      CRC-16 of length bytes and payload, started with the CRC-16 before it (the first
                   one with that of the header): sections that were lost, exchanged or put behind
                   another header do not pass
    ..      n      payload

There is no table of sections: a prefix that ends where a section ends is a complete, legal file,
which is what an embedded codec's `truncate` writes. A cut anywhere else is `TruncatedStream`.
The overhead is 12 bytes for sides below 16,384 pixels (14 beyond) and 3-4 bytes a section (a
payload of 16 KiB or more takes a fifth byte, 2 MiB or more a sixth).

Version 1 is of images that are coded as they are, version 2 of thin ones that are folded first
(`icmbench.bitstream.folding`). The size decides which of the two a stream has to be.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from icmbench.bitstream.folding import strips
from icmbench.core.errors import CorruptStream, TruncatedStream, UnsupportedVersion, WrongModel

MAGIC: Final = b"\xc9\x1c"
VERSION: Final = 1
FOLDED: Final = 2  # the version of streams of folded images
DIGEST_BYTES: Final = 4
MAX_SIDE: Final = (1 << 21) - 1  # what a three-byte varint holds
MAX_VARINT_BYTES: Final = 4  # a section stays below 256 MiB
CODEC_IDS: Final = range(32)  # 24-31 are for codecs outside this package
_FIXED: Final = len(MAGIC) + 1 + DIGEST_BYTES


@dataclass(frozen=True)
class Header:
    """Header of every stream: codec, digest of the weights, size of the image."""

    codec_id: int
    weights_digest: bytes
    width: int
    height: int
    version: int = VERSION

    def to_bytes(self) -> bytes:
        """Serialise; ValueError where a field does not fit (a programming error, not bad input)."""
        if self.codec_id not in CODEC_IDS or not 0 <= self.version < 8:
            raise ValueError(f"codec id {self.codec_id} or version {self.version} does not fit")
        if len(self.weights_digest) != DIGEST_BYTES:
            raise ValueError(f"weights digest has {len(self.weights_digest)} bytes, not 4")
        if not (1 <= self.width <= MAX_SIDE and 1 <= self.height <= MAX_SIDE):
            raise ValueError(f"image of {self.width}x{self.height} pixels does not fit")
        body = MAGIC + bytes([self.version << 5 | self.codec_id]) + self.weights_digest
        body += encode_varint(self.width) + encode_varint(self.height)
        return body + bytes([crc8(body)])


def image_header(
    codec_id: int, weights_digest: bytes, height: int, width: int, unit: int
) -> Header:
    """The header of an image's stream, with the version for its size.

    Args:
        unit: pixels of a side that the codec's networks take at once.
    """
    version = FOLDED if strips(height, width, unit) > 1 else VERSION
    return Header(codec_id, weights_digest, width, height, version)


@dataclass(frozen=True)
class Stream:
    """A parsed stream: header, payloads of its sections, and the offset at which each ends."""

    header: Header
    sections: tuple[bytes, ...]
    ends: tuple[int, ...]
    header_bytes: int

    def prefix(self, data: bytes, sections: int) -> bytes:
        """The file that holds the first `sections` sections of `data`."""
        return data[: self.ends[sections - 1] if sections else self.header_bytes]


def pack(header: Header, sections: Sequence[bytes]) -> bytes:
    """The file of a header and its sections' payloads, in order."""
    data = bytearray(header.to_bytes())
    check = crc16(bytes(data))
    for payload in sections:
        length = encode_varint(len(payload))
        check = crc16(length + payload, check)
        data += length + check.to_bytes(2, "big") + payload
    return bytes(data)


def read_header(data: bytes) -> tuple[Header, int]:
    """Header and the offset behind it.

    Raises:
        TruncatedStream: the data end inside the header.
        CorruptStream: the magic or the CRC-8 is wrong, or a side is 0.
        UnsupportedVersion: a later format.
    """
    if not data.startswith(MAGIC[: len(data)]):
        raise CorruptStream("not an icmbench stream: it does not start with C9 1C")
    if len(data) < _FIXED:
        raise TruncatedStream(f"{len(data)} bytes end inside the header")
    width, offset = decode_varint(data, _FIXED, max_bytes=3)
    height, offset = decode_varint(data, offset, max_bytes=3)
    if offset >= len(data):
        raise TruncatedStream(f"{len(data)} bytes end inside the header")
    if crc8(data[:offset]) != data[offset]:
        raise CorruptStream("the header's CRC-8 does not match")
    version = data[2] >> 5
    if version not in (VERSION, FOLDED):
        raise UnsupportedVersion(f"stream of format version {version}; this program reads 1 and 2")
    if width == 0 or height == 0:
        raise CorruptStream(f"the header names an image of {width}x{height} pixels")
    return Header(data[2] & 31, data[3:_FIXED], width, height, version), offset + 1


def parse(
    data: bytes,
    *,
    codec_id: int | None = None,
    weights_digest: bytes | None = None,
    unit: int = 1,
    best_effort: bool = False,
) -> Stream:
    """Split a file into header and sections, checking everything that can be checked.

    With `best_effort` the sections before the first damaged or unfinished one are returned; the
    caller says which they are. Nothing is allocated beyond the data themselves.

    Args:
        unit: pixels of a side that the codec's networks take at once; 1: the codec never folds.

    Raises:
        TruncatedStream, CorruptStream, UnsupportedVersion: see `read_header`; also per section.
        UnsupportedVersion: the stream is of another codec than `codec_id`, or its version is not
            the one that the image's size asks for.
        WrongModel: the stream was written with other weights than `weights_digest`.
    """
    header, offset = read_header(data)
    if codec_id is not None and header.codec_id != codec_id:
        raise UnsupportedVersion(f"stream of codec id {header.codec_id}, expected {codec_id}")
    _check_version(header, unit)
    if weights_digest is not None and header.weights_digest != weights_digest:
        raise WrongModel(
            f"stream written with weights {header.weights_digest.hex()}, "
            f"the model at hand is {weights_digest.hex()}"
        )
    start = offset
    sections: list[bytes] = []
    ends: list[int] = []
    check = crc16(data[:start])
    while offset < len(data):
        try:
            payload, offset, check = _read_section(data, offset, len(sections), check)
        except (TruncatedStream, CorruptStream):
            if best_effort:
                break
            raise
        sections.append(payload)
        ends.append(offset)
    return Stream(header, tuple(sections), tuple(ends), start)


def _check_version(header: Header, unit: int) -> None:
    """UnsupportedVersion where a thin image is not folded, or any other image is."""
    asked = image_header(
        header.codec_id, header.weights_digest, header.height, header.width, unit
    ).version
    if header.version == asked:
        return
    size = f"{header.width}x{header.height}"
    if asked == FOLDED:
        reason = f"images as thin as {size} are folded since version {FOLDED}"
    else:
        reason = f"that version is of folded images, {size} needs no folding"
    raise UnsupportedVersion(
        f"stream of format version {header.version}: {reason}; encode the original again"
    )


def _read_section(data: bytes, offset: int, index: int, before: int) -> tuple[bytes, int, int]:
    length, behind = decode_varint(data, offset, max_bytes=MAX_VARINT_BYTES)
    end = behind + 2 + length
    if end > len(data):
        raise TruncatedStream(f"the stream ends inside section {index}")
    payload = data[behind + 2 : end]
    check = crc16(data[offset:behind] + payload, before)
    if check != int.from_bytes(data[behind : behind + 2], "big"):
        raise CorruptStream(f"the CRC-16 of section {index} does not match")
    return payload, end, check


def encode_varint(value: int) -> bytes:
    """Unsigned LEB128: 7 bits a byte, low bits first, top bit set on all but the last."""
    if value < 0 or value >= 1 << (7 * MAX_VARINT_BYTES):
        raise ValueError(f"{value} does not fit a varint of {MAX_VARINT_BYTES} bytes")
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes, offset: int, *, max_bytes: int) -> tuple[int, int]:
    """Value and the offset behind it; only the shortest form is legal."""
    value = 0
    for index in range(max_bytes):
        if offset + index >= len(data):
            raise TruncatedStream("the stream ends inside a length")
        byte = data[offset + index]
        value |= (byte & 127) << (7 * index)
        if byte < 128:
            if byte == 0 and index:
                raise CorruptStream("a length is not in its shortest form")
            return value, offset + index + 1
    raise CorruptStream(f"a length takes more than {max_bytes} bytes")


def crc8(data: bytes) -> int:
    """CRC-8, polynomial 0x07, start 0xFF (not 0, so that leading zeros count)."""
    crc = 0xFF
    for byte in data:
        crc = _CRC8[crc ^ byte]
    return crc


def crc16(data: bytes, start: int = 0xFFFF) -> int:
    """CRC-16/CCITT-FALSE: polynomial 0x1021, start 0xFFFF or the CRC of what comes before."""
    return binascii.crc_hqx(data, start)


def _crc8_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value << 1) ^ 0x07 if value & 0x80 else value << 1
        table.append(value & 0xFF)
    return table


_CRC8: Final = _crc8_table()
