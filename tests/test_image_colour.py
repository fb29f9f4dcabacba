"""Colour that files declare, converted to sRGB: against values computed here by other formulas."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from conftest import make_picture
from PIL import Image
from test_images import icc, srgb_code

from icmbench.core.errors import ImageError
from icmbench.core.images.image_files import decode_image
from icmbench.datasets.registry import make_dataset

PICTURE = make_picture(40, 50)
SRGB_TABLE = [
    round(65535 * (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4))
    for v in (i / 1023 for i in range(1024))
]
SRGB_CHROMA = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
ADOBE_CHROMA = (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
# Light to light between two spaces of white D65, as published: Adobe RGB (1998), annex B, and the
# matrices of CSS Color 4 for Display P3 and BT.2020.
ADOBE_TO_SRGB = np.array([[1.39836, -0.39836, 0], [0, 1, 0], [0, -0.04293, 1.04293]])
P3_TO_SRGB = np.array(
    [[1.22494, -0.22494, 0], [-0.04206, 1.04206, 0], [-0.01964, -0.07864, 1.09827]]
)
BT2020_TO_SRGB = np.array(
    [[1.66049, -0.58764, -0.07285], [-0.12455, 1.13290, -0.00835], [-0.01815, -0.10058, 1.11873]]
)


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(pixels: np.ndarray, *chunks: tuple[bytes, bytes], **options: object) -> bytes:
    """A PNG file with chunks behind its header; `pixels` uint8 or uint16."""
    buffer = io.BytesIO()
    if pixels.dtype == np.uint16:
        buffer.write(imagecodecs.png_encode(pixels))
    else:
        Image.fromarray(pixels).save(buffer, "PNG", **options)
    data = buffer.getvalue()
    return data[:33] + b"".join(chunk(*each) for each in chunks) + data[33:]


def gamma(value: int) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", value)


def chroma(values: tuple[int, ...]) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *values)


def converted(light: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return srgb_code(255 * np.clip(light @ matrix.T, 0, 1))


def light_of_srgb(codes: np.ndarray) -> np.ndarray:
    v = codes / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("name", ["c2", "sRGB IEC61966-2.1"])
def test_a_profile_with_the_curve_and_primaries_of_srgb_keeps_all_values(name: str) -> None:
    profile = icc("rgb", name, SRGB_TABLE)
    for pixels, note in ((PICTURE, ""), (PICTURE[:, :, 0], "greyscale")):
        image, told = decode_image(png(pixels, icc_profile=profile))
        assert np.array_equal(image, np.broadcast_to(pixels.reshape(40, 50, -1), (40, 50, 3)))
        assert told == note


@pytest.mark.parametrize("name", ["sRGB-V2-g10", "not sRGB", "scRGB to sRGB", "e-sRGB linear"])
@pytest.mark.parametrize("form", ["png", "palette", "png16", "tif16", "jpeg"])
def test_no_profile_is_srgb_by_name(name: str, form: str) -> None:
    """Linear light, or swapped primaries with sRGB's own curve, whose greys agree."""
    for primaries, curve in (("rgb", None), ("gbr", SRGB_TABLE)):
        profile = icc(primaries, name, curve)
        pixels, buffer = PICTURE, io.BytesIO()
        if form == "palette":
            palette = Image.fromarray(PICTURE).quantize(17)
            pixels = np.asarray(palette.convert("RGB"))
            palette.save(buffer, "PNG", icc_profile=profile)
        elif form == "jpeg":
            Image.fromarray(PICTURE).save(buffer, "JPEG", icc_profile=profile)
            pixels = np.asarray(Image.open(buffer))
        elif form == "png16":
            content = b"x\0\0" + zlib.compress(profile)
            buffer.write(png(PICTURE.astype(np.uint16) * 257, (b"iCCP", content)))
        elif form == "tif16":
            deep = PICTURE.astype(np.uint16) * 257
            tifffile.imwrite(buffer, deep, photometric="rgb", iccprofile=profile)
        else:
            Image.fromarray(PICTURE).save(buffer, "PNG", icc_profile=profile)
        order = [2, 0, 1] if primaries == "gbr" else [0, 1, 2]
        expected = pixels[:, :, order] if curve else srgb_code(pixels)
        image, note = decode_image(buffer.getvalue())
        assert np.abs(image - expected).max() <= 2
        assert f"ICC profile {name!r} converted" in note


def test_grey_profiles_by_their_curve() -> None:
    grey = PICTURE[:, :, 0]
    image, note = decode_image(png(grey, icc_profile=icc("GRAY", "x", SRGB_TABLE)))
    assert np.array_equal(image[:, :, 1], grey)
    assert note == "greyscale"
    image, note = decode_image(png(grey, icc_profile=icc("GRAY", "sRGB", [461])))  # 1.8
    assert np.abs(image[:, :, 1] - srgb_code(255 * (grey / 255) ** (461 / 256))).max() <= 2
    assert "'sRGB' converted" in note


def test_an_incomplete_profile_is_refused() -> None:
    """Its first part is there, the second is not; or its compressed data end early."""
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "JPEG", icc_profile=icc("gbr", "x") + bytes(70_000))
    data = buffer.getvalue()
    second = data.index(b"ICC_PROFILE\0\2\2") - 4
    length = struct.unpack(">H", data[second + 2 : second + 4])[0]
    with pytest.raises(ImageError, match="ICC profile is incomplete"):
        decode_image(data[:second] + data[second + 2 + length :])
    short = b"x\0\0" + zlib.compress(icc("gbr", "x"))[:-9]
    with pytest.raises(ImageError, match="ICC profile cannot be read"):
        decode_image(png(PICTURE, (b"iCCP", short)))


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(
    ("chunks", "light", "matrix", "note"),
    [
        ([gamma(100_000)], lambda v: v, np.eye(3), "gAMA (1) converted to sRGB"),
        ([gamma(55_556)], lambda v: v ** (1 / 0.55556), np.eye(3), "gAMA (0.55556) converted"),
        (
            [gamma(45_470), chroma(ADOBE_CHROMA)],
            lambda v: v ** (1 / 0.4547),
            ADOBE_TO_SRGB,
            "gAMA and cHRM (0.4547) converted to sRGB",
        ),
        ([(b"cICP", b"\x0c\x0d\0\1")], None, P3_TO_SRGB, "cICP 12/13/0/1 converted to sRGB"),
        ([(b"cICP", b"\x09\x08\0\1")], lambda v: v, BT2020_TO_SRGB, "cICP 9/8/0/1 converted"),
        (
            [(b"cICP", b"\x0c\x0d\0\1"), gamma(45_455), (b"sRGB", b"\0")],
            None,
            P3_TO_SRGB,
            "cICP 12/13/0/1 converted to sRGB",
        ),
    ],
)
def test_colour_of_png_chunks_is_converted(
    chunks: list, light: object, matrix: np.ndarray, note: str, deep: bool
) -> None:
    data = png(PICTURE.astype(np.uint16) * 257 if deep else PICTURE, *chunks)
    image, told = decode_image(data)
    linear = light(PICTURE / 255) if callable(light) else light_of_srgb(PICTURE)
    assert np.abs(image - converted(linear, matrix)).max() <= 1
    assert note in told


def test_cicp_precedes_a_profile() -> None:
    profile = b"x\0\0" + zlib.compress(icc("gbr", "swapped"))
    image, note = decode_image(png(PICTURE, (b"cICP", b"\x0c\x0d\0\1"), (b"iCCP", profile)))
    assert np.abs(image - converted(light_of_srgb(PICTURE), P3_TO_SRGB)).max() <= 1
    assert "swapped" not in note
    image, note = decode_image(png(PICTURE, (b"cICP", b"\2\2\0\1"), (b"iCCP", profile)))
    assert "cICP 2/2/0/1 ignored; ICC profile 'swapped' converted" in note


@pytest.mark.parametrize(
    "chunks",
    [
        [gamma(45_455)],
        [gamma(45_455), chroma(SRGB_CHROMA)],
        [(b"sRGB", b"\0"), gamma(100_000), chroma(ADOBE_CHROMA)],
        [(b"cICP", b"\x01\x0d\0\1")],
        [chroma(SRGB_CHROMA), gamma(45_450)],
    ],
)
def test_declared_srgb_keeps_all_values(chunks: list) -> None:
    image, note = decode_image(png(PICTURE, *chunks))
    assert np.array_equal(image, PICTURE)
    assert note == ""


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"\x09\x10\0\1", "PQ"), (b"\x09\x12\0\1", "HLG"), (b"\1\1\1\0", "narr")],
)
def test_high_dynamic_range_is_refused(content: bytes, reason: str) -> None:
    for pixels in (PICTURE, PICTURE.astype(np.uint16) * 257):
        with pytest.raises(ImageError, match=reason):
            decode_image(png(pixels, (b"cICP", content)))


def test_what_is_ignored_is_noted() -> None:
    cases = [
        ([chroma(ADOBE_CHROMA)], "cHRM without gAMA ignored"),
        ([gamma(0)], "malformed gAMA ignored"),
        ([(b"cICP", b"\1\2")], "malformed cICP ignored"),
    ]
    for chunks, expected in cases:
        image, note = decode_image(png(PICTURE, *chunks))
        assert np.array_equal(image, PICTURE)
        assert note == expected
    with pytest.raises(ImageError, match="no colour space"):
        decode_image(png(PICTURE, gamma(50_000), chroma((0,) * 8)))
    broken = bytearray(png(PICTURE, gamma(100_000)))
    broken[33 + 8] ^= 1
    with pytest.raises(ImageError, match="gAMA"):
        decode_image(bytes(broken))


def dcf(space: int, index: bytes = b"") -> bytes:
    """EXIF with a colour space and, if given, an interoperability index (DCF 2.0)."""
    first = struct.pack("<HHHIII", 1, 0x8769, 4, 1, 26, 0)
    second = struct.pack("<HHHIHH", 2, 0xA001, 3, 1, space, 0)
    second += struct.pack("<HHIII", 0xA005, 4, 1, 56, 0)
    third = struct.pack("<HHHI4sI", 1, 1, 2, 4, index + b"\0", 0)
    return b"Exif\0\0II*\0\x08\0\0\0" + first + second + third


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("exif", "note"),
    [
        (dcf(65535, b"R03"), "Adobe RGB (EXIF) converted to sRGB"),
        (dcf(2), "Adobe RGB (EXIF) converted to sRGB"),
        (dcf(65535, b"R98"), "uncalibrated colour space (EXIF) ignored"),
        (dcf(1, b"R98"), ""),
    ],
)
def test_adobe_rgb_of_exif(form: str, exif: bytes, note: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, form, exif=exif)
    stored = np.asarray(Image.open(buffer).convert("RGB"))
    image, told = decode_image(buffer.getvalue())
    expected = stored
    if "Adobe" in note:
        expected = converted((stored / 255) ** (563 / 256), ADOBE_TO_SRGB)
    assert np.abs(image - expected).max() <= (1 if "Adobe" in note else 0)
    assert told == note


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_colour_tags_of_tiff(kind: type) -> None:
    """Primaries as fractions: of sRGB without a note, others with one at 8 and at 16 bits."""
    for values, note in ((SRGB_CHROMA, ""), (ADOBE_CHROMA, "PrimaryChromaticities ignored")):
        flat = [part for value in values[2:] for part in (value, 100_000)]
        buffer = io.BytesIO()
        tag = (319, "2I", 6, flat, True)
        deep = PICTURE.astype(kind) * (257 if kind is np.uint16 else 1)
        tifffile.imwrite(buffer, deep, photometric="rgb", metadata=None, extratags=[tag])
        image, told = decode_image(buffer.getvalue())
        assert np.array_equal(image, PICTURE)
        assert told.replace("16-bit rounded to 8", "").strip("; ") == note


def test_conversions_stand_in_the_manifest_note(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(PICTURE, gamma(100_000)))
    dataset = make_dataset("mine", {"type": "folder", "path": str(tmp_path)}, tmp_path)
    assert dataset.provide(["a.png"], tmp_path)[0].note == "gAMA (1) converted to sRGB"
