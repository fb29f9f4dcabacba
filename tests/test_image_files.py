"""Metadata that are malformed or stand elsewhere, and files that lack a part of their picture."""

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
from test_image_colour import chunk, png

from icmbench.cli.main import main
from icmbench.core.errors import ImageError
from icmbench.core.images.image_files import decode_image

PICTURE = make_picture(60, 80)
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/"%s</rdf:Description></rdf:RDF></x:xmpmeta>'
)
ATTRIBUTE, ELEMENT = (
    XMP % b' tiff:Orientation="8">',
    XMP % (b"><tiff:Orientation>8</tiff:Orientation>"),
)


def exif(orientation: int) -> bytes:
    return b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHHI", 274, 3, 1, orientation, 0, 0)


def raw_profile(kind: bytes, content: bytes) -> bytes:
    """A text chunk as ImageMagick writes it."""
    digits = b"\n".join(content.hex().encode()[i : i + 72] for i in range(0, 2 * len(content), 72))
    return b"Raw profile type %s\0\n%s\n%8d\n%s\n" % (kind, kind, len(content), digits)


def itxt(keyword: bytes, text: bytes, *, deflate: bool = False) -> tuple[bytes, bytes]:
    body = zlib.compress(text) if deflate else text
    return b"iTXt", keyword + b"\0" + bytes([deflate]) + b"\0\0\0" + body


def zipped(text: bytes) -> bytes:
    keyword, _, rest = text.partition(b"\0")
    return keyword + b"\0\0" + zlib.compress(rest)


PNG_FORMS = {
    "eXIf": ((b"eXIf", exif(6)[6:]), 6),
    "XMP attribute": (itxt(b"XML:com.adobe.xmp", ATTRIBUTE), 8),
    "XMP element": (itxt(b"XML:com.adobe.xmp", ELEMENT), 8),
    "XMP deflated": (itxt(b"XML:com.adobe.xmp", ATTRIBUTE, deflate=True), 8),
    "raw profile": ((b"tEXt", raw_profile(b"exif", exif(6))), 6),
    "raw profile deflated": ((b"zTXt", zipped(raw_profile(b"exif", exif(6)))), 6),
}
TIFF_FORMS = {
    "tag": ((274, "H", 1, 6, True), 6),
    "XMP attribute": ((700, "B", len(ATTRIBUTE), ATTRIBUTE, True), 8),
    "XMP element": ((700, "B", len(ELEMENT), ELEMENT, True), 8),
}


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("form", PNG_FORMS)
def test_orientation_in_png(form: str, deep: bool) -> None:
    added, value = PNG_FORMS[form]
    image, note = decode_image(png(PICTURE.astype(np.uint16) * 257 if deep else PICTURE, added))
    assert np.array_equal(image, np.rot90(PICTURE, -1 if value == 6 else 1))
    assert "orientation applied" in note


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("form", TIFF_FORMS)
def test_orientation_in_tiff(form: str, deep: bool, big: bool) -> None:
    tag, value = TIFF_FORMS[form]
    pixels, buffer = PICTURE.astype(np.uint16) * 257 if deep else PICTURE, io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="rgb", metadata=None, extratags=[tag], bigtiff=big)
    image, note = decode_image(buffer.getvalue())
    assert np.array_equal(image, np.rot90(PICTURE, -1 if value == 6 else 1))
    assert "orientation applied" in note


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_orientation_of_xmp_in_jpeg_and_webp(form: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, form, xmp=ATTRIBUTE)
    stored = np.asarray(Image.open(buffer).convert("RGB"))
    assert np.array_equal(decode_image(buffer.getvalue())[0], np.rot90(stored, 1))


NO_EXIF = (b"no EXIF at all", b"\0\x08\0\2\1\x12\0\3", b"II*\0\xff\xff\xff\xff", b"MM\0*")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("content", NO_EXIF)
@pytest.mark.parametrize("form", ["PNG", "PNG16", "WEBP", "JPEG"])
def test_malformed_exif_loses_no_picture(form: str, content: bytes) -> None:
    buffer = io.BytesIO()
    if form.startswith("PNG"):
        pixels = PICTURE.astype(np.uint16) * 257 if form == "PNG16" else PICTURE
        data = png(pixels, (b"eXIf", content))
    elif form == "WEBP":
        Image.fromarray(PICTURE).save(buffer, form, lossless=True, exif=content)
        data = buffer.getvalue()
    else:
        Image.fromarray(PICTURE).save(buffer, form, quality=100, subsampling=0)
        plain = buffer.getvalue()
        segment = struct.pack(">HH", 0xFFE1, len(content) + 8) + b"Exif\0\0" + content
        data = plain[:2] + segment + plain[2:]
    image, note = decode_image(data)
    assert np.abs(image.astype(int) - PICTURE).max() <= (8 if form == "JPEG" else 0)
    assert "unreadable EXIF ignored" in note or content[:4] in (b"II*\0", b"MM\0*")


def test_malformed_metadata_lose_no_picture() -> None:
    """Each chunk makes Pillow refuse the file; the note names what was ignored."""
    bad = bytearray(chunk(b"eXIf", exif(6)[6:]))
    bad[-1] ^= 1
    plain = png(PICTURE)
    cases = {
        png(PICTURE, (b"tEXt", b"Raw profile type exif\0\nexif\n 10\nno digits")): "EXIF ignored",
        png(PICTURE, (b"zTXt", b"Raw profile type exif\0\0nothing")): "EXIF ignored",
        png(PICTURE, (b"zTXt", b"Comment\0\0nothing")): "",
        png(PICTURE, (b"zTXt", b"workflow\0\0" + zlib.compress(bytes(1 << 22)))): "",
        png(PICTURE, itxt(b"XML:com.adobe.xmp", b"")): "",
        plain[:33] + bytes(bad) + plain[33:]: "damaged EXIF ignored",
    }
    for data, expected in cases.items():
        image, note = decode_image(data)
        assert np.array_equal(image, PICTURE)
        assert note.endswith(expected)


@pytest.mark.parametrize("deep", [False, True])
def test_a_tiff_with_a_malformed_exif_directory(deep: bool) -> None:
    """The tag of the EXIF directory points into nowhere, or at text."""
    for place in (1 << 30, 0, 3):
        pixels, buffer = PICTURE.astype(np.uint16) * 257 if deep else PICTURE, io.BytesIO()
        tag = (34665, "I", 1, place, True)
        tifffile.imwrite(buffer, pixels, photometric="rgb", metadata=None, extratags=[tag])
        assert np.array_equal(decode_image(buffer.getvalue())[0], PICTURE)


# Files that lack a part of their picture


def short_png(pixels: np.ndarray, rows: int, *, interlaced: bool = False) -> bytes:
    """A legal file but for its compressed data, which end after some rows."""
    height, width = pixels.shape[:2]
    depth = pixels.dtype.itemsize
    big = pixels.astype(pixels.dtype.newbyteorder(">"))
    raw = b"".join(b"\0" + row.tobytes() for row in big[:rows])
    head = struct.pack(">2I5B", width, height, 8 * depth, 2, 0, 0, int(interlaced))
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("missing", [1, 40])
def test_png_with_rows_missing(missing: int, deep: bool) -> None:
    pixels = PICTURE.astype(np.uint16) * 257 if deep else PICTURE
    assert np.array_equal(decode_image(short_png(pixels, 60))[0], PICTURE)
    with pytest.raises(ImageError, match="truncated"):
        decode_image(short_png(pixels, 60 - missing))
    with pytest.raises(ImageError, match="truncated"):  # passes have more rows
        decode_image(short_png(pixels, 60, interlaced=True))


def test_interlaced_png_of_every_small_size_is_whole() -> None:
    for height, width in [(1, 1), (1, 9), (9, 1), (3, 2), (8, 8), (5, 13)]:
        pixels = PICTURE[:height, :width]
        buffer = io.BytesIO()
        Image.fromarray(pixels).quantize(5).save(buffer, "PNG", bits=4)
        assert decode_image(buffer.getvalue())[0].shape == pixels.shape
        data = bytearray(adam7(pixels))
        assert np.array_equal(decode_image(bytes(data))[0], pixels)


def adam7(pixels: np.ndarray) -> bytes:
    """An interlaced file: PNG (third edition), section 8.1."""
    starts = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
              (1, 0, 2, 1)]  # fmt: skip
    raw = b""
    for top, left, down, right in starts:
        part = pixels[top::down, left::right]
        if part.size:
            raw += b"".join(b"\0" + row.tobytes() for row in part)
    head = struct.pack(">2I5B", pixels.shape[1], pixels.shape[0], 8, 2, 0, 0, 1)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


JPEGS = [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"subsampling": 0, "quality": 97}]


@pytest.mark.parametrize("options", JPEGS)
def test_jpeg_whose_scan_ends_early(options: dict) -> None:
    """An end-of-image marker in the middle: libjpeg fills the rest and only warns."""
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "JPEG", **options)
    good = buffer.getvalue()
    decode_image(good)
    scan = good.rindex(b"\xff\xda") + 12
    for cut in (len(good) - 40, (scan + len(good)) // 2):
        data = good[:cut].rstrip(b"\xff") + b"\xff\xd9"
        with pytest.raises(ImageError, match=r"truncated|damaged"):
            decode_image(data)


def test_whole_jpegs_of_every_kind_are_taken() -> None:
    """Sizes around a block, grey and colour, every option; trailing data change nothing."""
    rng = np.random.default_rng(3)
    for trial in range(60):
        height, width = rng.integers(1, 50, 2)
        pixels = PICTURE[:height, :width] if trial % 2 else PICTURE[:height, :width, 0]
        buffer = io.BytesIO()
        options = JPEGS[trial // 2 % len(JPEGS)]
        Image.fromarray(pixels).save(buffer, "JPEG", **options)
        for tail in (b"", b"\xff\xd8\xff trailing \xff\xda" + bytes(9)):
            image, _ = decode_image(buffer.getvalue() + tail)
            assert np.array_equal(image, np.asarray(Image.open(buffer).convert("RGB")))


def test_webp_whose_data_end_early() -> None:
    for options in ({"lossless": True}, {"quality": 80}, {"quality": 5, "method": 0}):
        buffer = io.BytesIO()
        Image.fromarray(PICTURE).save(buffer, "WEBP", **options)
        data = buffer.getvalue()
        content = data[20:-20]
        content += b"\0" * (len(content) % 2)
        size = struct.pack("<I", len(content))
        short = b"RIFF" + struct.pack("<I", len(content) + 12) + data[8:16] + size + content
        with pytest.raises(ImageError):
            decode_image(short)


@pytest.mark.parametrize("deep", [False, True])
def test_tiff_with_missing_strips(deep: bool) -> None:
    pixels, buffer = PICTURE.astype(np.uint16) * 257 if deep else PICTURE, io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="rgb", metadata=None, rowsperstrip=8)
    data = bytearray(buffer.getvalue())
    with tifffile.TiffFile(io.BytesIO(buffer.getvalue())) as tiff:
        places = [tiff.pages.first.tags[tag].offset for tag in (273, 279)]
    for place in places:
        data[place + 4 : place + 8] = struct.pack("<I", 5)
    with pytest.raises(ImageError, match="strip or tile is missing"):
        decode_image(bytes(data))


def test_tiff_with_a_jpeg_strip_that_ends_early() -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, PICTURE, photometric="rgb", compression="jpeg", rowsperstrip=64)
    good = buffer.getvalue()
    decode_image(good)
    with tifffile.TiffFile(io.BytesIO(buffer.getvalue())) as tiff:
        place, size = tiff.pages.first.dataoffsets[0], tiff.pages.first.databytecounts[0]
    middle = place + size // 2
    data = good[:middle] + b"\xff\xd9" + good[middle + 2 :]
    with pytest.raises(ImageError, match="truncated"):
        decode_image(data)


# Refusals that name their reason


@pytest.mark.parametrize(
    ("pixels", "options", "reason"),
    [
        (PICTURE.astype(np.float32), {"photometric": "rgb"}, "float32"),
        (PICTURE.astype(np.uint32), {"photometric": "rgb"}, "uint32"),
        (PICTURE[:, :, 0].astype(np.int8), {"photometric": "minisblack"}, "int8"),
        (PICTURE.astype(np.int8), {"photometric": "rgb"}, "int8"),
        (PICTURE.astype(np.int16), {"photometric": "rgb"}, "int16"),
        (
            np.concatenate([PICTURE, PICTURE[:, :, :2]], 2),
            {
                "photometric": "minisblack",
                "planarconfig": "contig",
                "extrasamples": ["unspecified"] * 4,
            },
            "a TIFF of uint8 samples, 5 a pixel",
        ),
    ],
)
def test_tiffs_are_refused_by_their_samples(pixels: np.ndarray, options: dict, reason: str) -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, metadata=None, **options)
    with pytest.raises(ImageError, match=reason):
        decode_image(buffer.getvalue())


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("tag", [256, 257, 277, 278])
def test_tiff_sizes_that_are_lists(tag: int, kind: type, big: bool) -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, PICTURE.astype(kind), photometric="rgb", metadata=None, bigtiff=big)
    data = bytearray(buffer.getvalue())
    with tifffile.TiffFile(io.BytesIO(buffer.getvalue())) as tiff:
        place = tiff.pages.first.tags[tag].offset
    content = struct.pack("<HQQ", 4, 228, 30) if big else struct.pack("<HII", 4, 228, 30)
    data[place + 2 : place + 2 + len(content)] = content
    with pytest.raises(ImageError, match="holds 228 values"):
        decode_image(bytes(data))


def test_other_formats_are_named() -> None:
    for form, name in (("GIF", "GIF"), ("BMP", "BMP"), ("AVIF", "AVIF"), ("JPEG2000", "JPEG 2000")):
        buffer = io.BytesIO()
        Image.fromarray(PICTURE).save(buffer, form)
        with pytest.raises(ImageError, match=f"not a PNG.* but .*{name}"):
            decode_image(buffer.getvalue())
    with pytest.raises(ImageError, match="JPEG XL"):
        decode_image(imagecodecs.jpegxl_encode(PICTURE, distance=3))
    with pytest.raises(ImageError, match="the JPEG header cannot be read"):
        decode_image(b"\xff\xd8\xff\xe0")


def test_sizes_are_bounded_by_the_header(tmp_path: Path) -> None:
    """Files of a few bytes that name 268 or 400 megapixels; nothing of that size is allocated."""
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "WEBP", lossless=True)
    webp = bytearray(buffer.getvalue())
    webp[21:25] = struct.pack("<I", 0x0FFFFFFF)  # 16384 x 16384
    head = chunk(b"IHDR", struct.pack(">2I5B", 20_000, 20_000, 8, 2, 0, 0, 0))
    wide = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    Image.fromarray(PICTURE).save(tmp_path / "a.jpg")
    jpeg = (tmp_path / "a.jpg").read_bytes()
    frame = jpeg.index(b"\xff\xc0") + 5
    tall = jpeg[:frame] + struct.pack(">2H", 20_000, 20_000) + jpeg[frame + 4 :]
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, PICTURE, photometric="rgb", metadata=None)
    tiff = bytearray(buffer.getvalue())
    with tifffile.TiffFile(io.BytesIO(buffer.getvalue())) as opened:
        for tag in (256, 257):
            place = opened.pages.first.tags[tag].offset
            tiff[place + 2 : place + 12] = struct.pack("<HII", 4, 1, 20_000)
    for data in (bytes(webp), wide, tall, bytes(tiff)):
        with pytest.raises(ImageError, match=r"limit|exceeds"):
            decode_image(data)


def test_compare_prints_conversions_and_why_a_metric_has_no_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deep = PICTURE.astype(np.uint16) * 257
    (tmp_path / "a.png").write_bytes(png(deep))
    (tmp_path / "b.png").write_bytes(png(deep + 100, (b"gAMA", struct.pack(">I", 0))))
    chosen = "psnr_rgb,ms_ssim"
    assert main(["compare", *map(str, sorted(tmp_path.glob("*.png"))), "--metrics", chosen]) == 0
    first, second, psnr, ms_ssim = capsys.readouterr().out.splitlines()
    assert first == f"{tmp_path}/a.png: 16-bit rounded to 8"
    assert second == f"{tmp_path}/b.png: 16-bit rounded to 8; malformed gAMA ignored"
    assert psnr.split() == ["psnr_rgb", "inf", "dB"]
    assert ms_ssim.split(maxsplit=2) == ["ms_ssim", "nan", "undefined: a side is below 161 pixels"]


@pytest.mark.parametrize(("brand", "name"), [(b"avif", "AVIF"), (b"mif1", "AVIF or HEIC")])
def test_a_refusal_names_the_format_by_its_brand(brand: bytes, name: str) -> None:
    with pytest.raises(ImageError, match=f"WebP or TIFF image but {name}$"):
        decode_image(b"\0\0\0\x1cftyp" + brand + b"\0\0\0\0mif1avifmiaf" + bytes(8))
