"""Files of the codecs' own formats that other programs write, and sizes that headers name."""

from __future__ import annotations

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from conftest import make_picture
from PIL import Image

from icmbench.bitstream import container
from icmbench.codecs.conventional import jxl, pillow_io
from icmbench.codecs.conventional.jxl_header import JxlHeader, read_header
from icmbench.codecs.registry import codec_class, codecs, recognise
from icmbench.core.errors import CodecError, CorruptStream, TruncatedStream

PICTURE = make_picture(60, 80)
QUALITY = {"jpeg": 80, "jpeg2000": 8, "webp": 80, "avif": 85, "jxl": 1, "heic": 80}


def encoded(name: str, image: np.ndarray = PICTURE) -> bytes:
    codec = codec_class(name)()
    key = next(iter(codec.quality_keys), "") if name in QUALITY else ""
    return codec.encode(image, **({key: QUALITY[name]} if key else {}))


def decoded(data: bytes) -> np.ndarray:
    return recognise(data)().decode(data)


@pytest.mark.parametrize("name", ["avif", "heic"])
@pytest.mark.parametrize("brand", [b"mif1", b"msf1"])
def test_a_general_brand_leaves_the_coding_to_the_compatible_ones(name: str, brand: bytes) -> None:
    """Other programs write mif1 first, for AVIF and HEIC alike."""
    own = encoded(name)
    data = own[:8] + brand + own[12:]
    assert recognise(data).name == recognise(own).name == name
    if brand == b"mif1":
        assert np.array_equal(decoded(data), decoded(own))
    end = struct.unpack(">I", own[:4])[0]
    unnamed = own[:8] + b"mif1" + own[12:16] + b"mif1" * ((end - 16) // 4) + own[end:]
    with pytest.raises(CorruptStream, match="no installed codec"):
        recognise(unnamed)
    for cut in range(20):
        assert not any(
            codec.recognises(own[:8] + brand + bytes(cut)) for codec in codecs().values()
        )


def test_boxed_jpeg_2000() -> None:
    boxed, bare = io.BytesIO(), io.BytesIO()
    Image.fromarray(PICTURE).save(boxed, "JPEG2000", no_jp2=False)
    Image.fromarray(PICTURE).save(bare, "JPEG2000", no_jp2=True)
    assert recognise(boxed.getvalue()).name == "jpeg2000"
    assert np.array_equal(decoded(boxed.getvalue()), decoded(bare.getvalue()))


@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_jpeg_xl_of_other_samples(channels: int, bits: int, boxed: bool) -> None:
    """Lossless, so that every value is known: scaled to 8 bits, alpha on white, grey as RGB."""
    alpha = np.tile(np.arange(80, dtype=np.uint8) * 3, (60, 1))
    colours = PICTURE[:, :, :1] if channels < 3 else PICTURE
    pixels = colours if channels % 2 else np.dstack([colours, alpha])
    most = (1 << bits) - 1
    deep = (pixels.astype(np.uint32) * most + 127) // 255
    samples = deep.astype(np.uint8 if bits == 8 else np.uint16)
    data = imagecodecs.jpegxl_encode(
        samples[:, :, 0] if channels == 1 else samples,
        lossless=True, bitspersample=bits, usecontainer=boxed,
        photometric=None if channels > 2 else 0,
    )  # fmt: skip
    expected = np.broadcast_to(colours, (60, 80, 3)).astype(float)
    if channels % 2 == 0:
        share = alpha[:, :, None] / 255
        expected = expected * share + 255 * (1 - share)
    assert np.abs(decoded(data) - expected).max() <= (1 if channels % 2 == 0 else 0)


def test_jpeg_xl_without_8_bit_values_is_refused() -> None:
    with pytest.raises(CorruptStream, match="floating"):
        decoded(imagecodecs.jpegxl_encode((PICTURE / 255).astype(np.float32), distance=1))
    plain = [(0, 1), (0, 1), (0, 1), (0, 2), (1, 1)]  # nothing by default, 8 bits
    two, depth = [(2, 2), (0, 4)], [(1, 2), (0, 1), (1, 2)]  # two channels; one, of type 1
    for extra in (two, depth):
        with pytest.raises(CorruptStream, match="extra channels"):
            decoded(jxl_of(80, 60, plain + extra))


def test_a_jpeg_xl_animation_gives_its_first_frame() -> None:
    frames = np.stack([PICTURE, 255 - PICTURE])
    assert np.array_equal(decoded(imagecodecs.jpegxl_encode(frames, lossless=True)), PICTURE)


@pytest.mark.parametrize("boxed", [False, True])
def test_jpeg_xl_headers(boxed: bool) -> None:
    """Small and large fields, every ratio of sides, both containers."""
    sizes = [(1, 1), (8, 8), (8, 256), (256, 256), (9, 600), (513, 3), (1, 8200), (300, 250)]
    sizes += [(100, 120), (300, 400), (200, 300), (90, 160), (400, 500), (64, 128), (999, 1)]
    for height, width in sizes:
        image = np.zeros((height, width, 3), np.uint8)
        data = imagecodecs.jpegxl_encode(image, distance=9, effort=1, usecontainer=boxed)
        assert read_header(data)[:3] == (width, height, 8)
    data = imagecodecs.jpegxl_encode(PICTURE.astype(np.uint16), lossless=True, usecontainer=boxed)
    assert read_header(data) == JxlHeader(80, 60, 16, False, 0, False)
    for cut in range(2, 4):
        with pytest.raises(CodecError):
            read_header(data[:cut])


def jxl_of(width: int, height: int, rest: list[tuple[int, int]] | None = None) -> bytes:
    """A codestream's header with 30-bit sides, then the defaults or other fields, then nothing."""
    fields = [(0, 1), (3, 2), (height - 1, 30), (0, 3), (3, 2), (width - 1, 30)]
    fields += rest or [(1, 1)]
    value, at = 0, 0
    for field, bits in fields:
        value |= field << at
        at += bits
    return b"\xff\x0a" + value.to_bytes(-(-at // 8), "little") + bytes(200)


def test_a_size_is_read_before_jpeg_xl_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagecodecs, "jpegxl_decode", None)
    assert read_header(jxl_of(20_000, 30_000))[:2] == (20_000, 30_000)
    with pytest.raises(CorruptStream, match="20000x30000 pixels, the limit"):
        decoded(jxl_of(20_000, 30_000))
    with pytest.raises(TruncatedStream):
        decoded(jxl_of(20_000, 30_000)[:5])


@pytest.mark.parametrize("name", [*QUALITY, "identity"])
def test_every_codec_bounds_the_size_before_it_decodes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a limit below the picture's pixels nothing is loaded or decoded."""
    stream = encoded(name)

    def decode(*arguments: object, **options: object) -> None:
        raise AssertionError("decoded")

    for module in (pillow_io, jxl):
        monkeypatch.setattr(module, "MAX_PIXELS", 60 * 80 - 1)
    monkeypatch.setattr(imagecodecs, "jpegxl_decode", decode)
    monkeypatch.setattr(Image.Image, "convert", decode)
    with pytest.raises(CorruptStream, match="80x60 pixels, the limit is 4799"):
        codec_class(name)().decode(stream)


def test_transparent_and_deep_files_of_other_programs() -> None:
    clear = np.dstack([PICTURE, np.zeros((60, 80), np.uint8)])
    for form, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("AVIF", {})):
        buffer = io.BytesIO()
        Image.fromarray(clear).save(buffer, form, **options)
        assert (decoded(buffer.getvalue()) == 255).all()
    with pytest.raises(CorruptStream, match="mode I;16"):
        decoded(imagecodecs.png_encode(PICTURE[:, :, 0].astype(np.uint16)))


def test_a_png_stream_with_rows_missing_is_truncated() -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    raw = b"".join(b"\0" + row.tobytes() for row in PICTURE)
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", 80, 60, 8, 2, 0, 0, 0))
    whole = head + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    assert np.array_equal(decoded(whole), PICTURE)
    short = head + chunk(b"IDAT", zlib.compress(raw[: len(raw) // 3])) + chunk(b"IEND", b"")
    with pytest.raises(TruncatedStream, match="truncated"):
        decoded(short)


def test_thin_pictures_are_bounded_by_their_pixels() -> None:
    """Networks compute at most twice as many (test_folding.py), in a stream of 19 bytes."""
    codec, side = codec_class("diff-icmh")(), container.MAX_SIDE
    for width, height in ((side, 8), (8, side)):
        header = container.image_header(codec.codec_id, codec.model.digest, height, width, 64)
        with pytest.raises(CorruptStream, match="the limit is"):
            codec.decode(container.pack(header, [b"\0"]))
        with pytest.raises(CodecError, match="over the limit"):
            codec.encode(np.broadcast_to(np.zeros(3, np.uint8), (height, width, 3)))
