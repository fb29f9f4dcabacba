"""Reading images of every kind: what is converted, what is refused, what damage gives."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from conftest import make_picture
from PIL import Image, ImageCms

from icmbench.core.errors import ImageError
from icmbench.core.images.image_files import decode_image, read_image


def save(path: Path, picture: Image.Image, **options: object) -> Path:
    picture.save(path, **options)
    return path


def test_plain_rgb_is_untouched(tmp_path: Path, picture: np.ndarray) -> None:
    for name in ("a.png", "a.tif", "a.webp"):
        options = {"lossless": True} if name.endswith("webp") else {}
        image, note = read_image(save(tmp_path / name, Image.fromarray(picture), **options))
        assert np.array_equal(image, picture)
        assert note == ""


def test_grey_palette_and_bilevel(tmp_path: Path, picture: np.ndarray) -> None:
    grey = picture[:, :, 0]
    image, note = read_image(save(tmp_path / "g.png", Image.fromarray(grey)))
    assert np.array_equal(image, np.repeat(grey[:, :, None], 3, axis=2))
    assert note == "greyscale"
    palette = Image.fromarray(picture).quantize(17)
    image, note = read_image(save(tmp_path / "p.png", palette))
    assert np.array_equal(image, np.asarray(palette.convert("RGB")))
    assert note == "palette"
    image, _ = read_image(save(tmp_path / "1.png", Image.fromarray(grey).convert("1")))
    assert set(np.unique(image)) <= {0, 255}


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = (200, 10, 10, 255)
    rgba[0, 1] = (200, 10, 10, 0)
    rgba[1, 0] = (0, 0, 0, 128)
    image, note = read_image(save(tmp_path / "a.png", Image.fromarray(rgba)))
    assert image[0, 0].tolist() == [200, 10, 10]
    assert image[0, 1].tolist() == [255, 255, 255]
    assert abs(int(image[1, 0, 0]) - 127) <= 1
    assert "transparency" in note
    rgba[:, :, 3] = 255
    image, note = read_image(save(tmp_path / "b.png", Image.fromarray(rgba)))
    assert np.array_equal(image, rgba[:, :, :3])
    assert note == ""


def test_sixteen_bits_are_rounded(tmp_path: Path) -> None:
    """65535 -> 255 and to the nearest in between: dropping the low byte would be off by up to 1."""
    values = np.arange(0, 65536, 7, dtype=np.uint16)
    deep = np.resize(values, (96, 97)).astype(np.uint16)
    expected = np.floor(deep / 257 + 0.5).astype(np.uint8)
    rgb = np.stack([deep, deep[::-1], deep[:, ::-1]], axis=2)
    wanted = np.stack([expected, expected[::-1], expected[:, ::-1]], axis=2)
    (tmp_path / "rgb.png").write_bytes(imagecodecs.png_encode(rgb))
    (tmp_path / "grey.png").write_bytes(imagecodecs.png_encode(deep))
    tifffile.imwrite(tmp_path / "rgb.tif", rgb, photometric="rgb")
    tifffile.imwrite(tmp_path / "grey.tif", deep, photometric="minisblack")
    for name in ("rgb.png", "rgb.tif"):
        image, note = read_image(tmp_path / name)
        assert np.array_equal(image, wanted), name
        assert "16-bit" in note
    for name in ("grey.png", "grey.tif"):
        image, _ = read_image(tmp_path / name)
        assert np.array_equal(image[:, :, 0], expected), name


def test_exif_orientation(tmp_path: Path, picture: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate 90 degrees clockwise to show
    path = save(tmp_path / "e.png", Image.fromarray(picture), exif=exif)
    image, note = read_image(path)
    assert np.array_equal(image, np.rot90(picture, -1))
    assert "EXIF" in note


def test_colour_profiles(tmp_path: Path, picture: np.ndarray) -> None:
    """sRGB stays bit-identical; another profile is converted; a broken one is refused."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image, note = read_image(save(tmp_path / "s.png", Image.fromarray(picture), icc_profile=srgb))
    assert np.array_equal(image, picture)
    assert note == ""
    path = save(tmp_path / "x.png", Image.fromarray(picture), icc_profile=b"nonsense" * 20)
    with pytest.raises(ImageError, match="ICC"):
        read_image(path)


def icc(primaries: str, name: str, curve: list[int] | None = None) -> bytes:
    """A profile by hand (ICC.1:2001); `primaries` are sRGB's in that order, or GRAY.

    `curve` is a table of 16-bit light, or one value: a gamma in 256ths; linear light by default.

    With primaries "gbr", for instance, the red channel drives sRGB's green light.
    """
    d50 = {
        "r": (0.4360, 0.2225, 0.0139),
        "g": (0.3851, 0.7169, 0.0971),
        "b": (0.1431, 0.0606, 0.7141),
    }

    def xyz(values: tuple[float, ...]) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))

    values = curve or [256]
    linear = struct.pack(f">4sII{len(values)}H", b"curv", 0, len(values), *values)
    text = name.encode() + b"\0"
    tags = {
        b"desc": struct.pack(">4sII", b"desc", 0, len(text)) + text + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": xyz((0.9642, 1.0, 0.8249)),
    }
    if primaries == "GRAY":
        tags[b"kTRC"] = linear
    else:
        for channel, light in zip("rgb", primaries, strict=True):
            tags[f"{channel}XYZ".encode()] = xyz(d50[light])
            tags[f"{channel}TRC".encode()] = linear
    table, body = struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        table += struct.pack(">4sII", tag, 132 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    space = b"GRAY" if primaries == "GRAY" else b"RGB "
    head = struct.pack(">I4sI4s4s4s12x4s", 132 + len(table) - 4 + len(body), bytes(4), 0x02100000,
                       b"mntr", space, b"XYZ ", b"acsp")  # fmt: skip
    head += bytes(28) + xyz((0.9642, 1.0, 0.8249))[8:]
    return head.ljust(128, b"\0") + table + body


def srgb_code(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1: the code value of linear light given as 0..255."""
    light = linear / 255.0
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def test_profiles_are_converted_to_the_computed_values(tmp_path: Path, picture: np.ndarray) -> None:
    """Swapped primaries and linear light: a skipped or reversed conversion is off by dozens."""
    swapped, grey = icc("gbr", "swapped"), picture[:, :, 0]
    shown = srgb_code(picture[:, :, [2, 0, 1]])  # red light comes from blue, green from red...
    palette = Image.fromarray(picture).quantize(17)
    entries = np.asarray(palette.convert("RGB"))
    shown_palette = srgb_code(entries[:, :, [2, 0, 1]])
    shown_grey = np.repeat(srgb_code(grey)[:, :, None], 3, axis=2)
    layered = Image.merge("LA", [Image.fromarray(grey), Image.new("L", grey.shape[::-1], 255)])
    cases: list[tuple[Image.Image, bytes, np.ndarray, str]] = [
        (Image.fromarray(picture), swapped, shown, "ICC profile 'swapped' converted to sRGB"),
        (palette, swapped, shown_palette, "ICC profile 'swapped' converted to sRGB; palette"),
        (Image.fromarray(grey), swapped, shown_grey, "'swapped' converted to sRGB; greyscale"),
        (Image.fromarray(grey), icc("GRAY", "linear grey"), shown_grey, "'linear grey' converted"),
        (layered, icc("GRAY", "linear grey"), shown_grey, "'linear grey' converted"),
        (Image.fromarray(picture), icc("rgb", "Linear sRGB"), srgb_code(picture), "'Linear sRGB'"),
    ]
    for case, profile, expected, note in cases:
        image, told = read_image(save(tmp_path / "x.png", case, icc_profile=profile))
        assert np.abs(image - expected).max() <= 2, (case.mode, told)
        assert note in told
    wide = picture.astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "d.tif", wide, photometric="rgb", iccprofile=swapped)
    image, told = read_image(tmp_path / "d.tif")
    assert np.abs(image - shown).max() <= 2
    assert told == "16-bit rounded to 8; ICC profile 'swapped' converted to sRGB"


def test_grey_and_palette_with_an_srgb_profile_stay(tmp_path: Path, picture: np.ndarray) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    grey, palette = Image.fromarray(picture[:, :, 0]), Image.fromarray(picture).quantize(17)
    for case, label in ((grey, "greyscale"), (palette, "palette")):
        image, note = read_image(save(tmp_path / "x.png", case, icc_profile=srgb))
        assert np.array_equal(image, np.asarray(case.convert("RGB")))
        assert note == label
    path = save(tmp_path / "y.png", Image.fromarray(picture), icc_profile=icc("GRAY", "grey"))
    with pytest.raises(ImageError, match="ICC profile cannot be applied"):
        read_image(path)


def deep_and_twin(folder: Path, pixels: np.ndarray, **options: object) -> list[tuple]:
    """What is read of the same 8-bit values stored with 16 bits and with 8."""
    for name, stored in (("16.tif", pixels.astype(np.uint16) * 257), ("8.tif", pixels)):
        if options.get("planarconfig") == "separate":
            stored = np.moveaxis(stored, 2, 0)
        tifffile.imwrite(folder / name, stored, **options)
    return [read_image(folder / name) for name in ("16.tif", "8.tif")]


@pytest.mark.parametrize(
    ("channels", "options"),
    [
        (1, {"photometric": "miniswhite"}),
        (1, {"photometric": "minisblack", "rowsperstrip": 5, "compression": "zlib"}),
        (3, {"photometric": "rgb", "planarconfig": "separate"}),
        (3, {"photometric": "rgb", "planarconfig": "separate", "compression": "zlib"}),
        (3, {"photometric": "rgb", "tile": (16, 16), "byteorder": ">"}),
        (3, {"photometric": "rgb", "bigtiff": True}),
        (2, {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": [2]}),
        (4, {"photometric": "rgb", "extrasamples": [0]}),
        (4, {"photometric": "rgb", "extrasamples": [1]}),
        (4, {"photometric": "rgb", "extrasamples": [2]}),
    ],
)
def test_sixteen_bit_tiff_reads_as_its_twin(
    tmp_path: Path, picture: np.ndarray, channels: int, options: dict
) -> None:
    """Pillow reads the twin by itself: another implementation of the same tags."""
    alpha = np.tile(np.arange(picture.shape[1], dtype=np.uint8), (picture.shape[0], 1))
    pixels = {1: picture[:, :, 0], 2: np.dstack([picture[:, :, 0], alpha]), 3: picture,
              4: np.dstack([picture, alpha])}[channels]  # fmt: skip
    premultiplied = options.get("extrasamples") == [1]
    if premultiplied:
        pixels = np.dstack([(picture * (alpha[:, :, None] / 255)).astype(np.uint8), alpha])
    (deep, note), (twin, twin_note) = deep_and_twin(tmp_path, pixels, **options)
    assert np.abs(deep.astype(int) - twin).max() <= (1 if premultiplied else 0)
    assert note == "; ".join(["16-bit rounded to 8", *filter(None, [twin_note])])
    if options["photometric"] == "miniswhite":
        assert np.array_equal(deep[:, :, 1], 255 - pixels)


def test_sixteen_bit_tiff_orientation(tmp_path: Path, picture: np.ndarray) -> None:
    """All eight values of tag 274 (TIFF 6.0, page 36), against the flips worked out by hand."""
    turned = picture[::-1, ::-1]
    shown = {1: picture, 2: picture[:, ::-1], 3: turned, 4: picture[::-1],
             5: picture.swapaxes(0, 1), 6: np.rot90(picture, -1), 7: turned.swapaxes(0, 1),
             8: np.rot90(picture)}  # fmt: skip
    for value, expected in shown.items():
        tag = (274, "H", 1, value, True)
        for image, note in deep_and_twin(tmp_path, picture, photometric="rgb", extratags=[tag]):
            assert np.array_equal(image, expected), value
            assert ("EXIF orientation applied" in note) == (value != 1)


@pytest.mark.parametrize(
    ("shape", "options", "reason"),
    [
        ((8, 9, 4), {"photometric": "separated"}, "16-bit CMYK"),
        ((8, 9, 3), {"photometric": "cielab"}, "16-bit CIE Lab"),
        ((8, 9, 3), {"photometric": "ycbcr"}, "16-bit YCbCr"),
        ((8, 9, 3), {"photometric": 34892}, "16-bit linear raw"),
        ((8, 9, 5), {"photometric": "rgb", "extrasamples": [0, 0]}, "5 channels"),
    ],
)
def test_other_sixteen_bit_tiffs_are_refused(
    tmp_path: Path, shape: tuple[int, ...], options: dict, reason: str
) -> None:
    tifffile.imwrite(tmp_path / "x.tif", np.zeros(shape, np.uint16), **options)
    with pytest.raises(ImageError, match=reason):
        read_image(tmp_path / "x.tif")


def test_sixteen_bit_tiff_with_pages_and_with_a_hole(tmp_path: Path, picture: np.ndarray) -> None:
    """The first page is taken and said; a strip that is not there is no black band."""
    pages = np.stack([picture, 255 - picture])
    for image, note in deep_and_twin(tmp_path, pages, photometric="rgb"):
        assert np.array_equal(image, picture)
        assert note.startswith("first of 2 frames")
    deep_and_twin(tmp_path, picture, photometric="rgb", rowsperstrip=8)
    with tifffile.TiffFile(tmp_path / "16.tif", mode="r+") as tiff:
        tag = tiff.pages.first.tags[279]  # StripByteCounts
        tag.overwrite((*tag.value[:-1], 0))
    with pytest.raises(ImageError, match="strip or tile is missing"):
        read_image(tmp_path / "16.tif")


def encoded(kind: str, picture: np.ndarray) -> bytes:
    deep, buffer = picture.astype(np.uint16) * 251, io.BytesIO()
    if kind == "png16":
        return imagecodecs.png_encode(deep)
    if kind.startswith("tif16"):
        compression = "zlib" if kind.endswith("zlib") else None
        tifffile.imwrite(buffer, deep, photometric="rgb", compression=compression, rowsperstrip=16)
    else:
        exif = Image.Exif()
        exif.update({0x0112: 6, 0x010F: "maker"})
        if kind != "tiff":
            exif.update({0x011A: 72.5, 0x8769: {0x829A: 0.5}})
        Image.fromarray(picture).save(buffer, kind, exif=exif)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff", "png16", "tif16", "tif16zlib"])
def test_damage_gives_an_image_or_an_image_error(kind: str) -> None:
    """200 damaged copies: bytes changed anywhere, in the header and EXIF, or the end cut off."""
    good = encoded(kind, make_picture(40, 50))
    decode_image(good)
    rng = np.random.default_rng(5)
    refused = 0
    for trial in range(200):
        data = bytearray(good)
        span = len(data) if trial % 2 else min(len(data), 220)
        for place in rng.integers(0, span, 1 + trial % 5):
            data[place] = rng.integers(0, 256)
        if trial % 10 == 0:
            del data[rng.integers(1, len(data)) :]
        try:
            image, _ = decode_image(bytes(data))
        except ImageError:
            refused += 1
        else:
            assert image.dtype == np.uint8
            assert image.shape[2:] == (3,)
    assert refused >= 20


def test_orientation_survives_a_malformed_neighbour(tmp_path: Path) -> None:
    """The resolution is marked as text: nobody needs it, and the picture is shown upright."""
    good = encoded("jpeg", make_picture(40, 50))
    bad = good.replace(b"\x01\x1a\x00\x05", b"\x01\x1a\x00\x02", 1)
    assert bad != good
    assert np.array_equal(decode_image(bad)[0], decode_image(good)[0])
    assert decode_image(bad)[0].shape == (50, 40, 3)


def test_running_out_of_memory_is_not_a_damaged_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(data: bytes) -> None:
        raise MemoryError

    monkeypatch.setattr("icmbench.core.images.image_files.deep_tiff", full)
    with pytest.raises(MemoryError):
        decode_image(b"II*\0")


def test_cmyk(tmp_path: Path) -> None:
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    image, note = read_image(save(tmp_path / "c.tif", cmyk))
    assert image[0, 0].tolist() == [255, 0, 0]
    assert "CMYK" in note


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_values_without_a_meaning_are_refused(tmp_path: Path, mode: str) -> None:
    path = save(tmp_path / "x.tif", Image.new(mode, (4, 4)))
    with pytest.raises(ImageError, match="8-bit RGB meaning") as caught:
        read_image(path)
    assert str(path) in str(caught.value)


def test_broken_files_name_file_and_reason(tmp_path: Path, picture: np.ndarray) -> None:
    good = save(tmp_path / "g.jpg", Image.fromarray(picture)).read_bytes()
    cases = {
        "cut.jpg": (good[: len(good) // 2], "damaged"),
        "text.png": (b"hello", "not a PNG"),
        "empty.png": (b"", "empty"),
    }
    for name, (data, reason) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageError, match=reason) as caught:
            read_image(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "none.png")
