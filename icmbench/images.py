"""Reading any image file as what a codec takes: uint8 (H, W, 3) sRGB.

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
from PIL import ImageCms, UnidentifiedImageError

from icmbench.deep_images import ORIENTATION, check_size, deep_png, deep_tiff
from icmbench.errors import ImageError
from icmbench.files import atomic_path

FORMATS: Final = ("PNG", "JPEG", "WEBP", "TIFF")
EXTENSIONS: Final = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
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


def read_image(path: Path | str) -> tuple[NDArray[np.uint8], str]:
    """The image of a PNG, JPEG, WebP or TIFF file, uint8 (H, W, 3) sRGB, and a note.

    EXIF orientation is applied. Greyscale and palette become RGB; transparency is laid on white;
    16-bit values are rounded to 8; an embedded ICC profile (of RGB, CMYK, grey or palette) is
    converted to sRGB; of several frames the first is taken. The note names what was done, '' if
    nothing.

    Raises:
        ImageError: the file is missing, is not an image, is damaged, is larger than 170
            megapixels, or holds values that have no 8-bit meaning (floating point, 32-bit, Lab,
            16-bit CMYK).
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
        raise ImageError("not a PNG, JPEG, WebP or TIFF image") from None
    except PillowImage.DecompressionBombError as error:
        raise ImageError(str(error)) from error
    # Every Exception, because on damaged files foreign decoders raise whatever they like
    # (RuntimeError, struct.error, KeyError...) and one broken file must not end a run.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"damaged or not supported: {reason}") from error


def pixel_sha256(image: NDArray[np.uint8]) -> str:
    """sha256 of an image's shape and pixels: the same for every lossless file of a picture."""
    array = np.ascontiguousarray(image)
    return hashlib.sha256(f"{array.shape}".encode() + array.tobytes()).hexdigest()


def write_png(path: Path | str, image: NDArray[np.uint8], *, compress_level: int = 6) -> None:
    """Write an image as PNG, atomically and without metadata."""
    with atomic_path(path) as temporary:
        PillowImage.fromarray(image).save(temporary, "PNG", compress_level=compress_level)


def _decode(data: bytes) -> tuple[NDArray[np.uint8], str]:
    # Before Pillow, which knows few kinds of 16-bit TIFF.
    page = deep_tiff(data)
    if page is not None:
        return _convert(page.picture, [*_frames(page.pages), "16-bit rounded to 8"])
    with PillowImage.open(io.BytesIO(data), formats=FORMATS) as picture:
        check_size(picture.width, picture.height)
        notes = _frames(getattr(picture, "n_frames", 1))
        deep = deep_png(data, picture) if picture.format == "PNG" else None
        if deep is not None:
            return _convert(deep, [*notes, "16-bit rounded to 8"])
        return _convert(picture, notes)


def _frames(count: int) -> list[str]:
    return [f"first of {count} frames"] if count > 1 else []


def _convert(picture: PillowImage.Image, notes: list[str]) -> tuple[NDArray[np.uint8], str]:
    if picture.mode not in _DIRECT:
        raise ImageError(f"pixels of mode {picture.mode} have no 8-bit RGB meaning")
    profile = picture.info.get("icc_profile")
    grey = picture.mode in _GREY
    if picture.getexif().get(ORIENTATION) in _UPRIGHT:
        notes.append("EXIF orientation applied")
    picture = _on_white(_upright(picture), notes)
    label = {"P": "palette", "PA": "palette", "YCbCr": "YCbCr"}.get(picture.mode, "greyscale")
    labels = [] if picture.mode in ("RGB", "CMYK") else [label]
    if picture.mode == "CMYK" and not profile:
        notes.append("CMYK without a profile, converted by the plain formula")
    if profile:
        if picture.mode != "CMYK":
            # A palette's profile speaks of its RGB entries; a grey one's of the grey itself.
            picture = picture.convert("L" if grey else "RGB")
        picture = _to_srgb(picture, profile, notes)
    return np.asarray(picture.convert("RGB")), "; ".join(notes + labels)


def _upright(picture: PillowImage.Image) -> PillowImage.Image:
    # Not ImageOps.exif_transpose: that writes all EXIF anew and fails on entries nobody needs.
    picture.load()  # turns a TIFF by itself and drops the tag
    method = _UPRIGHT.get(picture.getexif().get(ORIENTATION, 1))
    return picture if method is None else picture.transpose(method)


def _on_white(picture: PillowImage.Image, notes: list[str]) -> PillowImage.Image:
    if not picture.has_transparency_data:
        return picture
    layered = picture.convert("RGBA")
    if layered.getchannel("A").getextrema() == (255, 255):
        return layered.convert("RGB")
    notes.append("transparency laid on white")
    white = PillowImage.new("RGBA", layered.size, "white")
    return PillowImage.alpha_composite(white, layered).convert("RGB")


def _to_srgb(picture: PillowImage.Image, profile: bytes, notes: list[str]) -> PillowImage.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = ImageCms.getProfileDescription(source).strip()
        space = source.profile.xcolor_space.strip()
        if space == "RGB" and picture.mode == "L":
            picture = picture.convert("RGB")
        # Linear sRGB has the primaries of sRGB, not its values.
        is_srgb = "srgb" in name.lower() and "linear" not in name.lower()
        if is_srgb and space == "RGB" and picture.mode == "RGB":
            return picture
        converted = ImageCms.profileToProfile(
            picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError) as error:
        raise ImageError(f"its ICC profile cannot be applied: {error}") from error
    notes.append(f"ICC profile {name!r} converted to sRGB")
    assert converted is not None  # profileToProfile returns None only when working in place
    return converted
