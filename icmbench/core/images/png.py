"""PNG files chunk by chunk: pixels and metadata apart, and whether all rows are there.

Pillow loses an image over any malformed metadata, ignores cICP, and fills rows that the
compressed data lack with black. Here it is given the chunks that hold pixels; the others are
read one by one, and what cannot be read is named in a note.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from icmbench.core.errors import ImageError

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_XMP: Final = b"XML:com.adobe.xmp"
_RAW_PROFILE: Final = b"Raw profile type "  # ImageMagick's text chunks of hexadecimal digits
_MAX_METADATA: Final = 1 << 26  # bytes of one decompressed profile
_ADAM7: Final = (
    (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)
)  # fmt: skip
_ANIMATION: Final = (b"acTL", b"fcTL", b"fdAT")
# Chunks that decide colours: damaged, they make the pixels' meaning unknown.
_COLOUR: Final = (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM")


@dataclass
class PngFile:
    """A PNG file's parts.

    Attributes:
        width, height: pixels; bits: per sample; channels: samples of a pixel as stored.
        pixels: a PNG file of the chunks that pixels depend on, without metadata.
        colour: content of the chunks cICP, sRGB, gAMA, cHRM by name.
        icc: the decompressed ICC profile, None without one.
        exif, xmp: the metadata's bytes, b'' without one.
        notes: metadata that could not be read.
    """

    width: int
    height: int
    bits: int
    channels: int
    pixels: bytes = b""
    colour: dict[bytes, bytes] = field(default_factory=dict)
    icc: bytes | None = None
    exif: bytes = b""
    xmp: bytes = b""
    notes: list[str] = field(default_factory=list)


def split_png(data: bytes) -> PngFile:
    """The parts of a PNG file, read from its chunk headers; nothing of the image's size.

    Raises:
        ImageError: the header is missing or illegal, or a chunk that decides colours is damaged.
    """
    chunks = _chunks(data)
    kind, start, end = next(chunks, (b"", 0, 0))
    if kind != b"IHDR" or end - start != 13:
        raise ImageError("damaged: no PNG header")
    width, height, bits, colour_type = struct.unpack(">IIBB", data[start : start + 10])
    if colour_type not in CHANNELS or width == 0 or height == 0:
        raise ImageError("damaged: an illegal PNG header")
    png = PngFile(width, height, bits, CHANNELS[colour_type])
    kept = [data[: end + 4]]
    raw: dict[bytes, bytes] = {}
    for kind, start, end in chunks:
        if not kind[0] & 0x20 or kind in (b"tRNS", *_ANIMATION):
            kept.append(data[start - 8 : end + 4])  # Pillow checks their checksums
            continue
        whole = _checksum(data, start, end)
        if kind in _COLOUR and not whole:
            raise ImageError(f"damaged: checksum of the colour chunk {kind.decode()}")
        if kind == b"eXIf" and not whole:
            png.notes.append("damaged EXIF ignored")
        elif whole:
            _read_metadata(png, kind, data[start:end], raw)
    png.pixels = b"".join(kept)
    png.exif = png.exif or raw.get(b"exif", b"")
    png.icc = png.icc or raw.get(b"icc") or raw.get(b"icm")
    return png


def check_rows(data: bytes) -> None:
    """Refuse a PNG file whose compressed data hold fewer rows than its header names.

    Raises:
        ImageError: rows are missing, or the compressed data are damaged.
    """
    inflater, held, wanted = zlib.decompressobj(), 0, -1
    for kind, start, end in _chunks(data):
        if kind == b"IHDR":
            wanted = _raw_bytes(data[start:end])
        if kind != b"IDAT" or held >= wanted:
            continue
        rest = data[start:end]
        while rest and held < wanted and not inflater.eof:
            held += len(inflater.decompress(rest, 1 << 20))
            rest = inflater.unconsumed_tail
    while held < wanted and (more := inflater.decompress(inflater.unconsumed_tail, 1 << 20)):
        held += len(more)
    if held < wanted:
        raise ImageError(f"damaged: truncated, {max(held, 0)} of {wanted} bytes of pixel data")


def _raw_bytes(header: bytes) -> int:
    """Bytes of the filtered rows of all passes."""
    width, height, bits, colour_type, _, _, interlace = struct.unpack(">IIBBBBB", header)
    pixel_bits = bits * CHANNELS[colour_type]
    total = 0
    for top, left, down, right in _ADAM7 if interlace else ((0, 0, 1, 1),):
        rows, columns = -(-(height - top) // down), -(-(width - left) // right)
        if rows > 0 and columns > 0:
            total += rows * (1 + -(-columns * pixel_bits // 8))
    return total


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the content of every chunk up to IEND or the end of the file."""
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        yield kind, at + 8, min(at + 8 + length, len(data))
        at += 12 + length
        if kind == b"IEND":
            return


def _checksum(data: bytes, start: int, end: int) -> bool:
    return data[end : end + 4] == struct.pack(">I", zlib.crc32(data[start - 4 : end]))


def _read_metadata(png: PngFile, kind: bytes, content: bytes, raw: dict[bytes, bytes]) -> None:
    if kind == b"iCCP":
        _, _, rest = content.partition(b"\0")
        profile = _inflate(rest[1:]) if rest[:1] == b"\0" else None
        if not profile:
            raise ImageError("its ICC profile cannot be read")
        png.icc = profile
    elif kind in _COLOUR:
        png.colour[kind] = content
    elif kind == b"eXIf":
        png.exif = content
    elif kind in (b"tEXt", b"zTXt", b"iTXt"):
        _read_text(png, kind, content, raw)


def _read_text(png: PngFile, kind: bytes, content: bytes, raw: dict[bytes, bytes]) -> None:
    keyword, _, text = content.partition(b"\0")
    is_profile = keyword.startswith(_RAW_PROFILE)
    if keyword != _XMP and not is_profile:
        return
    name = keyword.removeprefix(_RAW_PROFILE) if is_profile else b"XMP"
    value: bytes | None = text
    if kind == b"zTXt":
        value = _inflate(text[1:])
    elif kind == b"iTXt":  # flag, method, language, translated keyword, text
        value = text[2:].split(b"\0", 2)[-1]
        value = _inflate(value) if text[:1] == b"\1" else value
    if value is not None and is_profile:
        value = _from_digits(value)
    if value is None:
        png.notes.append(f"unreadable {name.decode('latin-1').upper()} ignored")
    elif is_profile:
        raw[name] = value
    else:
        png.xmp = value


def _from_digits(text: bytes) -> bytes | None:
    """The content of a raw profile: name and length on lines of their own, then digits."""
    try:
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii"))
    except ValueError:
        return None


def _inflate(data: bytes) -> bytes | None:
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(data, _MAX_METADATA)
    except zlib.error:
        return None
    return content if inflater.eof else None
