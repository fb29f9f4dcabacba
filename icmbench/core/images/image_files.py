"""Reading of image files as uint8 (H, W, 3), sRGB, the input of codecs.

Nothing is converted silently: every conversion that changes values is named in the note that
`read_image` returns and that the manifest keeps. What cannot be converted faithfully is refused
with the reason.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from icmbench.core.errors import ImageError
from icmbench.core.files import atomic_path
from icmbench.core.images.colour import to_srgb
from icmbench.core.images.deep import TiffFile, check_size, deep_png, deep_tiff
from icmbench.core.images.jpeg import check_scans
from icmbench.core.images.metadata import Metadata, read_metadata
from icmbench.core.images.png import SIGNATURE, check_rows, split_png
from icmbench.core.images.transparency import on_white

FORMATS: Final = ("PNG", "JPEG", "WEBP", "TIFF")
EXTENSIONS: Final = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
ORIENTATION_NOTE: Final = "EXIF orientation applied"
_DIRECT: Final = {"RGB", "L", "P", "1", "LA", "PA", "RGBA", "RGBX", "CMYK", "YCbCr"}
_UPRIGHT: Final = {
    2: PillowImage.Transpose.FLIP_LEFT_RIGHT,
    3: PillowImage.Transpose.ROTATE_180,
    4: PillowImage.Transpose.FLIP_TOP_BOTTOM,
    5: PillowImage.Transpose.TRANSPOSE,
    6: PillowImage.Transpose.ROTATE_270,
    7: PillowImage.Transpose.TRANSVERSE,
    8: PillowImage.Transpose.ROTATE_90,
}
_GREY: Final = {"L", "1", "LA"}
_SIGNATURES: Final = {
    "PNG": (0, b"\x89PNG"),
    "JPEG": (0, b"\xff\xd8\xff"),
    "WebP": (8, b"WEBP"),
    "GIF": (0, b"GIF8"),
    "BMP": (0, b"BM"),
    "JPEG XL": (0, b"\xff\x0a"),
    "boxed JPEG XL": (4, b"JXL "),
    "JPEG 2000": (0, b"\xff\x4f\xff\x51"),
    "boxed JPEG 2000": (4, b"jP  "),
    "AVIF": (4, b"ftypavif"),
    "HEIC": (4, b"ftyphe"),
    "AVIF or HEIC": (4, b"ftypmif1"),  # the general brand of both
}


def read_image(path: Path | str) -> tuple[NDArray[np.uint8], str]:
    """The image of a PNG, JPEG, WebP or TIFF file, uint8 (H, W, 3) sRGB, and a note.

    The orientation of EXIF or XMP is applied. Greyscale and palette become RGB; transparency is
    laid on white; 16-bit values are rounded to 8; an embedded ICC profile (of RGB, CMYK, grey or
    palette), PNG's cICP or gAMA and cHRM, or EXIF's Adobe RGB is converted to sRGB; of several
    frames the first is taken. Metadata that cannot be read are ignored. The note names what was
    done and ignored, '' if nothing.

    Raises:
        ImageError: the file is missing, is not an image, is damaged or lacks a part of its
            image, is larger than 170 megapixels, or holds values that have no 8-bit meaning
            (floating point, signed, 32-bit, Lab, 16-bit CMYK, high dynamic range).
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return decode_image(data)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def decode_image(data: bytes) -> tuple[NDArray[np.uint8], str]:
    """`read_image` for a file's content."""
    if not data:
        raise ImageError("the file is empty")
    try:
        return _decode(data)
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise ImageError(_unidentified(data)) from None
    except PillowImage.DecompressionBombError as error:
        raise ImageError(str(error)) from error
    # Every Exception, because on damaged files foreign decoders raise whatever they like
    # (RuntimeError, struct.error, KeyError...) and one broken file must not end a run.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"damaged or not supported: {reason}") from error


def pixel_sha256(image: NDArray[np.uint8]) -> str:
    """sha256 of an image's shape and pixels: the same for every lossless file of an image."""
    array = np.ascontiguousarray(image)
    return hashlib.sha256(f"{array.shape}".encode() + array.tobytes()).hexdigest()


def write_png(path: Path | str, image: NDArray[np.uint8], *, compress_level: int = 6) -> None:
    """Write an image as PNG, atomically and without metadata."""
    with atomic_path(path) as temporary:
        PillowImage.fromarray(image).save(temporary, "PNG", compress_level=compress_level)


def _unidentified(data: bytes) -> str:
    found = [n for n, (at, mark) in _SIGNATURES.items() if data[at : at + len(mark)] == mark]
    if found and found[0].upper() in FORMATS:
        return f"damaged or not supported: the {found[0]} header cannot be read"
    other = f" but {found[0]}" if found else ""
    return f"not a PNG, JPEG, WebP or TIFF image{other}"


def _decode(data: bytes) -> tuple[NDArray[np.uint8], str]:
    # Before Pillow, which knows few kinds of 16-bit TIFF.
    tiff = deep_tiff(data)
    if tiff is not None:
        return _decode_tiff(data, tiff)
    if data.startswith(SIGNATURE):
        return _decode_png(data)
    with PillowImage.open(io.BytesIO(data), formats=("JPEG", "WEBP")) as picture:
        check_size(picture.width, picture.height)
        info = picture.info
        if "icc_profile" in info and not info["icc_profile"]:
            raise ImageError("its ICC profile is incomplete")
        metadata = read_metadata(
            info.get("exif", b""), info.get("xmp", b""), icc=info.get("icc_profile")
        )
        if picture.format != "WEBP":
            check_scans(data, picture)
        return _convert(picture, metadata, _frames(getattr(picture, "n_frames", 1)))


def _decode_tiff(data: bytes, tiff: TiffFile) -> tuple[NDArray[np.uint8], str]:
    metadata = read_metadata(xmp=tiff.xmp, tiff=data, icc=tiff.icc)
    notes = _frames(tiff.pages)
    if tiff.picture is not None:
        return _convert(tiff.picture, metadata, [*notes, "16-bit rounded to 8"])
    try:
        with PillowImage.open(io.BytesIO(data), formats=("TIFF",)) as picture:
            check_size(picture.width, picture.height)
            # Pillow's turns the image, as is done here for all formats, and loses it over
            # malformed EXIF.
            setattr(picture, "load_end", lambda: None)  # noqa: B010
            return _convert(picture, metadata, notes)
    except UnidentifiedImageError:
        raise ImageError(f"a TIFF of {tiff.kind} is not supported") from None


def _decode_png(data: bytes) -> tuple[NDArray[np.uint8], str]:
    png = split_png(data)
    check_size(png.width, png.height)
    check_rows(data)
    metadata = read_metadata(png.exif, png.xmp, icc=png.icc)
    metadata.png_colour = png.colour
    metadata.notes = png.notes + metadata.notes
    with PillowImage.open(io.BytesIO(png.pixels), formats=("PNG",)) as picture:
        notes = _frames(getattr(picture, "n_frames", 1))
        if png.bits == 16:
            return _convert(deep_png(png.pixels), metadata, [*notes, "16-bit rounded to 8"])
        return _convert(picture, metadata, notes)


def _frames(count: int) -> list[str]:
    return [f"first of {count} frames"] if count > 1 else []


def _convert(
    picture: PillowImage.Image, metadata: Metadata, notes: list[str]
) -> tuple[NDArray[np.uint8], str]:
    if picture.mode not in _DIRECT:
        raise ImageError(f"pixels of mode {picture.mode} have no 8-bit RGB meaning")
    grey = picture.mode in _GREY
    notes = [*notes, *metadata.notes]
    picture.load()
    if metadata.orientation in _UPRIGHT:
        notes.append(ORIENTATION_NOTE)
        # Not ImageOps.exif_transpose: that writes all EXIF anew and fails on needless entries.
        picture = picture.transpose(_UPRIGHT[metadata.orientation])
    picture, transparent = on_white(picture)
    if transparent:
        notes.append("transparency laid on white")
    label = {"P": "palette", "PA": "palette", "YCbCr": "YCbCr"}.get(picture.mode, "greyscale")
    labels = [] if picture.mode in ("RGB", "CMYK") else [label]
    if picture.mode == "CMYK":
        if not metadata.icc:
            notes.append("CMYK without a profile, converted by the plain formula")
    else:
        # A palette's colour is that of its RGB entries; a grey image's that of the grey itself.
        picture = picture.convert("L" if grey else "RGB")
    picture = to_srgb(picture, metadata, notes)
    return np.asarray(picture.convert("RGB")), "; ".join(notes + labels)
