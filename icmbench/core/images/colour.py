"""Declared colour to sRGB: ICC profiles, PNG's cICP, gAMA and cHRM, EXIF's Adobe RGB.

A declaration of sRGB leaves every value as it is. Whether it is one is decided by what its
conversion does to a set of colours, never by its name. What is declared and not converted is
named in the note or refused.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageCms

from icmbench.core.errors import ImageError
from icmbench.core.images.metadata import ADOBE_RGB, UNCALIBRATED, Metadata

Floats = NDArray[np.float64]
# A declaration is sRGB where its conversion moves no probe by more: littlecms rounds by 1, and
# the curves of small sRGB profiles are approximations.
TOLERANCE: Final = 1
_D65: Final = (0.3127, 0.329)
_BRADFORD: Final = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_STRIP: Final = 1 << 20  # pixels converted at a time: bounds the memory of float values


class Primaries(NamedTuple):
    """Chromaticities x, y of white and of the three primaries."""

    white: tuple[float, float]
    red: tuple[float, float]
    green: tuple[float, float]
    blue: tuple[float, float]


SRGB: Final = Primaries(_D65, (0.64, 0.33), (0.3, 0.6), (0.15, 0.06))
ADOBE: Final = Primaries(_D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
# ITU-T H.273, table 2; those of film and of XYZ are left out.
_PRIMARIES: Final = {
    1: SRGB,
    4: Primaries((0.31, 0.316), (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: Primaries(_D65, (0.64, 0.33), (0.29, 0.6), (0.15, 0.06)),
    6: Primaries(_D65, (0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    7: Primaries(_D65, (0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    9: Primaries(_D65, (0.708, 0.292), (0.17, 0.797), (0.131, 0.046)),
    11: Primaries((0.314, 0.351), (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    12: Primaries(_D65, (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    22: Primaries(_D65, (0.63, 0.34), (0.295, 0.605), (0.155, 0.077)),
}
_PQ, _HLG = 16, 18


def to_srgb(picture: PillowImage.Image, metadata: Metadata, notes: list[str]) -> PillowImage.Image:
    """Convert an image to sRGB; conversions and ignored metadata are added to `notes`.

    PNG's cICP precedes an ICC profile, that precedes sRGB, gAMA and cHRM (PNG, third edition,
    section 4.3), and those precede EXIF.

    Args:
        picture: of mode L, RGB or CMYK.

    Raises:
        ImageError: the colour is declared and cannot be converted.
    """
    chunks = metadata.png_colour
    code_points = chunks.get(b"cICP", b"")
    if code_points and (converted := _by_cicp(picture, code_points, notes)) is not None:
        return converted
    if metadata.icc:
        return _by_profile(picture, metadata.icc, notes)
    if b"sRGB" in chunks or picture.mode == "CMYK":
        return picture
    if b"gAMA" in chunks or b"cHRM" in chunks:
        return _by_gamma(picture, chunks.get(b"gAMA", b""), chunks.get(b"cHRM", b""), notes)
    if metadata.exif_colour == ADOBE_RGB:
        curve = _codes() ** (563 / 256)
        picture = _by_matrix(picture, curve, ADOBE, "Adobe RGB (EXIF)", notes)
    elif metadata.exif_colour == UNCALIBRATED:
        notes.append("uncalibrated colour space (EXIF) ignored")
    notes.extend(f"{name} ignored" for name in metadata.colour_tags)
    return picture


def _by_profile(picture: PillowImage.Image, icc: bytes, notes: list[str]) -> PillowImage.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        name = ImageCms.getProfileDescription(source).strip()
        if source.profile.xcolor_space.strip() == "RGB" and picture.mode == "L":
            picture = picture.convert("RGB")
        transform = ImageCms.buildTransform(
            source, ImageCms.createProfile("sRGB"), picture.mode, "RGB"
        )

        def convert(image: PillowImage.Image) -> PillowImage.Image:
            converted = ImageCms.applyTransform(image, transform)
            assert converted is not None  # None only when working in place
            return converted

        if _keeps_values(convert, picture.mode):
            return picture
        converted = convert(picture)
    # Attributes of a malformed profile raise what littlecms and Pillow like.
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError) as error:
        raise ImageError(f"its ICC profile cannot be applied: {error}") from error
    notes.append(f"ICC profile {name!r} converted to sRGB")
    return converted


def _by_cicp(
    picture: PillowImage.Image, content: bytes, notes: list[str]
) -> PillowImage.Image | None:
    """The image by its cICP chunk; None, and a note, where that names no known colours."""
    if len(content) != 4:
        notes.append("malformed cICP ignored")
        return None
    primaries, transfer, matrix, full = content
    named = f"cICP {primaries}/{transfer}/{matrix}/{full}"
    if transfer in (_PQ, _HLG):
        kind = "PQ" if transfer == _PQ else "HLG"
        raise ImageError(
            f"{named} declares {kind}: high dynamic range has no 8-bit sRGB values; "
            "convert it by a tone mapping first"
        )
    if matrix != 0 or full != 1:
        raise ImageError(f"{named} declares YCbCr or narrow-range values, which are not supported")
    curve = _transfer(transfer)
    if curve is None or primaries not in _PRIMARIES:
        notes.append(f"{named} ignored")
        return None
    return _by_matrix(picture, curve, _PRIMARIES[primaries], named, notes)


def _by_gamma(
    picture: PillowImage.Image, gamma: bytes, chromaticities: bytes, notes: list[str]
) -> PillowImage.Image:
    primaries, names = SRGB, "gAMA"
    if len(chromaticities) == 32:
        values = [value / 100_000 for value in struct.unpack(">8I", chromaticities)]
        primaries = Primaries(*zip(values[::2], values[1::2], strict=True))  # type: ignore[arg-type]
        names = "gAMA and cHRM"
    elif chromaticities:
        notes.append("malformed cHRM ignored")
    exponent = struct.unpack(">I", gamma)[0] / 100_000 if len(gamma) == 4 else 0.0
    if gamma and not exponent:
        notes.append("malformed gAMA ignored")
    # PNG asks writers of sRGB for a gamma of 1/2.2 and the primaries of sRGB beside or instead
    # of the chunk sRGB: together they name its curve.
    standard = abs(exponent - 0.45455) < 0.005
    if standard and _keeps_values(lambda image: _matrixed(image, _srgb_light(), primaries), "RGB"):
        return picture
    if not exponent:
        if chromaticities and names == "gAMA and cHRM":
            notes.append("cHRM without gAMA ignored")
        return picture
    curve = _codes() ** (1 / exponent)
    return _by_matrix(picture, curve, primaries, f"{names} ({exponent:g})", notes)


def _by_matrix(
    picture: PillowImage.Image, curve: Floats, primaries: Primaries, name: str, notes: list[str]
) -> PillowImage.Image:
    """The image by a curve (256,) from codes to linear light, and by primaries."""
    if _keeps_values(lambda image: _matrixed(image, curve, primaries), "RGB"):
        return picture
    notes.append(f"{name} converted to sRGB")
    return _matrixed(picture, curve, primaries)


def _matrixed(picture: PillowImage.Image, curve: Floats, primaries: Primaries) -> PillowImage.Image:
    if picture.mode == "L":  # grey stays grey: white maps to white
        return PillowImage.fromarray(_encoded(curve)[np.asarray(picture)]).convert("RGB")
    try:
        matrix = np.linalg.inv(_to_xyz(SRGB)) @ _to_xyz(primaries)
    except (np.linalg.LinAlgError, ZeroDivisionError) as error:
        raise ImageError(f"primaries {tuple(primaries)} are no colour space") from error
    pixels = np.asarray(picture).reshape(-1, 3)
    converted = np.empty_like(pixels)
    for start in range(0, len(pixels), _STRIP):
        light = curve[pixels[start : start + _STRIP]]
        converted[start : start + _STRIP] = _encoded(light @ matrix.T)
    return PillowImage.fromarray(converted.reshape(picture.height, picture.width, 3))


def _to_xyz(primaries: Primaries) -> Floats:
    """RGB light to XYZ relative to D65; another white is adapted by Bradford's transform."""

    def xyz(point: tuple[float, float]) -> Floats:
        x, y = point
        return np.array([x / y, 1.0, (1 - x - y) / y])

    columns = np.stack([xyz(point) for point in primaries[1:]], axis=1)
    white = xyz(primaries.white)
    matrix = columns * np.linalg.solve(columns, white)
    gains = (_BRADFORD @ xyz(_D65)) / (_BRADFORD @ white)
    adapted: Floats = np.linalg.inv(_BRADFORD) @ np.diag(gains) @ _BRADFORD @ matrix
    return adapted


def _keeps_values(convert: Callable[[PillowImage.Image], PillowImage.Image], mode: str) -> bool:
    """True if a conversion keeps every grey and a grid of colours within the tolerance."""
    if mode not in ("L", "RGB"):
        return False
    greys = np.arange(256, dtype=np.uint8)
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    colours = np.concatenate([np.repeat(greys[:, None], 3, axis=1), grid])
    probe = PillowImage.fromarray(greys[None] if mode == "L" else colours[None])
    before, after = np.asarray(probe.convert("RGB")), np.asarray(convert(probe))
    return int(np.abs(after.astype(int) - before).max()) <= TOLERANCE


def _codes() -> Floats:
    return np.arange(256) / 255.0


def _srgb_light() -> Floats:
    codes = _codes()
    return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)


def _encoded(light: Floats) -> NDArray[np.uint8]:
    """sRGB codes of linear light (IEC 61966-2-1), clipped to its range."""
    clipped = np.clip(light, 0.0, 1.0)
    codes = np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)
    return np.asarray(codes * 255 + 0.5, np.uint8)


def _transfer(kind: int) -> Floats | None:
    """Linear light of the 256 codes by the transfer characteristics of ITU-T H.273, table 3."""
    codes = _codes()
    if kind in (1, 6, 14, 15):  # BT.709 and those defined equal to it
        return np.where(codes < 0.081, codes / 4.5, ((codes + 0.099) / 1.099) ** (1 / 0.45))
    powers = {4: 2.2, 5: 2.8, 8: 1.0}
    if kind in powers:
        return np.asarray(codes ** powers[kind])
    return _srgb_light() if kind == 13 else None
