"""The container: overhead counted byte by byte, every damage a typed error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icmbench.bitstream import container
from icmbench.core.errors import (
    CodecError,
    CorruptStream,
    TruncatedStream,
    UnsupportedVersion,
    WrongModel,
)

HEADER = container.Header(5, b"\x01\x02\x03\x04", 768, 512)
GOLDEN = bytes.fromhex("c91c2501020304800680040f" + "03d910616263" + "004a54")

sides = st.one_of(st.integers(1, 300), st.integers(1, container.MAX_SIDE))
payloads = st.lists(st.binary(max_size=300), max_size=6)


def test_golden_stream() -> None:
    """Exact bytes: a change of the format must be a change of the version."""
    assert container.pack(HEADER, [b"abc", b""]) == GOLDEN


def test_crc_check_values() -> None:
    """The catalogue's check value of CRC-16; CRC-8 (07, start FF) by long division."""
    assert container.crc16(b"123456789") == 0x29B1
    register = 0xFF
    for byte in b"123456789":
        for bit in range(7, -1, -1):
            top = (register >> 7) ^ (byte >> bit & 1)
            register = ((register << 1) & 0xFF) ^ (0x07 if top else 0)
    assert container.crc8(b"123456789") == register


@given(width=sides, height=sides, sections=payloads)
def test_roundtrip_and_overhead(width: int, height: int, sections: list[bytes]) -> None:
    header = container.Header(31, b"wxyz", width, height)
    data = container.pack(header, sections)
    parsed = container.parse(data, codec_id=31, weights_digest=b"wxyz")
    assert parsed.header == header
    assert list(parsed.sections) == sections
    assert parsed.header_bytes <= 14
    assert parsed.header_bytes == 12 or max(width, height) >= 16384 or min(width, height) < 128
    overhead = len(data) - parsed.header_bytes - sum(map(len, sections))
    assert overhead <= 4 * len(sections)
    for count in range(len(sections) + 1):
        prefix = parsed.prefix(data, count)
        assert list(container.parse(prefix).sections) == sections[:count]


@given(sections=st.lists(st.binary(max_size=40), min_size=1, max_size=4))
def test_every_cut(sections: list[bytes]) -> None:
    """Only cuts at a section's end are legal; best effort keeps what is whole."""
    data = container.pack(HEADER, sections)
    parsed = container.parse(data)
    legal = {parsed.header_bytes, *parsed.ends}
    for length in range(len(data)):
        if length in legal:
            container.parse(data[:length])
            continue
        with pytest.raises(TruncatedStream):
            container.parse(data[:length])
        if length > parsed.header_bytes:
            kept = container.parse(data[:length], best_effort=True).sections
            whole = sum(end <= length for end in parsed.ends)
            assert list(kept) == sections[:whole]


def test_sections_are_chained() -> None:
    """A section that was lost, exchanged or put behind another header is not taken for whole."""
    data = container.pack(HEADER, [b"first", b"other", b"third"])
    start, (one, two, three) = container.parse(data).header_bytes, container.parse(data).ends
    parts = [data[start:one], data[one:two], data[two:three]]
    for wrong in ([0, 2], [1, 0, 2], [1, 2], [0, 0], [0, 1, 1]):
        with pytest.raises(CorruptStream):
            container.parse(data[:start] + b"".join(parts[index] for index in wrong))
    larger = container.Header(5, b"\x01\x02\x03\x04", 769, 512).to_bytes()
    with pytest.raises(CorruptStream):
        container.parse(larger + data[start:])


@given(sections=st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=3))
def test_every_single_bit_flip_is_refused(sections: list[bytes]) -> None:
    """CRC-8 over the header and CRC-16 over each section catch every single flipped bit."""
    data = container.pack(HEADER, sections)
    for position in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(CodecError):
            container.parse(bytes(damaged), codec_id=5, weights_digest=HEADER.weights_digest)


def test_typed_errors() -> None:
    later = container.Header(5, HEADER.weights_digest, 8, 8, version=3).to_bytes()
    with pytest.raises(UnsupportedVersion, match="version 3; this program reads 1 and 2"):
        container.parse(later)
    with pytest.raises(UnsupportedVersion, match="codec id 5, expected 6"):
        container.parse(GOLDEN, codec_id=6)
    with pytest.raises(WrongModel, match=r"01020304.*ffffffff"):
        container.parse(GOLDEN, weights_digest=b"\xff" * 4)
    with pytest.raises(CorruptStream, match="not an icmbench stream"):
        container.parse(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(TruncatedStream):
        container.parse(b"")


def test_length_beyond_the_file_allocates_nothing() -> None:
    """A section that claims 200 MiB in a file of 20 bytes is refused by arithmetic alone."""
    data = HEADER.to_bytes() + container.encode_varint(200 << 20) + b"\0\0xx"
    with pytest.raises(TruncatedStream):
        container.parse(data)


def test_varint_has_one_form() -> None:
    """An overlong length would give two files for one stream."""
    with pytest.raises(CorruptStream, match="shortest"):
        container.decode_varint(b"\x83\x00", 0, max_bytes=3)
    with pytest.raises(CorruptStream, match="more than 3"):
        container.decode_varint(b"\xff\xff\xff\x01", 0, max_bytes=3)


@pytest.mark.parametrize(
    "header",
    [
        container.Header(32, b"abcd", 1, 1),
        container.Header(1, b"abc", 1, 1),
        container.Header(1, b"abcd", 0, 1),
        container.Header(1, b"abcd", 1, container.MAX_SIDE + 1),
    ],
)
def test_headers_that_do_not_fit(header: container.Header) -> None:
    with pytest.raises(ValueError, match=r"fit|bytes"):
        header.to_bytes()
