"""Reading any image file as what a codec takes: uint8 (H, W, 3) sRGB.

Nothing is converted silently: every conversion that changes values is named in the note that
`read_image` returns and that the manifest keeps. What cannot be converted faithfully is refused
with the reason.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageCms, ImageOps, UnidentifiedImageError

from icmbench.errors import ImageError
from icmbench.files import atomic_path

FORMATS: Final = ("PNG", "JPEG", "WEBP", "TIFF")
EXTENSIONS: Final = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
MAX_PIXELS: Final = 170_000_000
_ORIENTATION: Final = 0x0112  # EXIF tag
_DIRECT: Final = {"RGB", "L", "P", "1", "LA", "PA", "RGBA", "RGBX", "CMYK", "YCbCr"}


def read_image(path: Path | str) -> tuple[NDArray[np.uint8], str]:
    """The image of a PNG, JPEG, WebP or TIFF file, uint8 (H, W, 3) sRGB, and a note.

    EXIF orientation is applied. Greyscale and palette become RGB; transparency is laid on white;
    16-bit values are rounded to 8; an embedded ICC profile (also CMYK's) is converted to sRGB;
    of several frames the first is taken. The note names what was done, '' if nothing.

    Raises:
        ImageError: the file is missing, is not an image, is damaged, is larger than 170
            megapixels, or holds values that have no 8-bit meaning (floating point, 32-bit, Lab).
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
        with PillowImage.open(io.BytesIO(data), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ImageError(f"{picture.width}x{picture.height} pixels are over the limit")
            deep = _sixteen_bit(data, picture)
            if deep is not None:
                return deep
            return _convert(picture)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError("not a PNG, JPEG, WebP or TIFF image") from None
    except PillowImage.DecompressionBombError as error:
        raise ImageError(str(error)) from error
    # Pillow's plugins raise these on damaged files; anything else is a bug and escapes.
    except (OSError, SyntaxError, ValueError, EOFError, TypeError) as error:
        raise ImageError(f"damaged or not supported: {' '.join(str(error).split())}") from error


def write_png(path: Path | str, image: NDArray[np.uint8], *, compress_level: int = 6) -> None:
    """Write an image as PNG, atomically and without metadata."""
    with atomic_path(path) as temporary:
        PillowImage.fromarray(image).save(temporary, "PNG", compress_level=compress_level)


def _convert(picture: PillowImage.Image) -> tuple[NDArray[np.uint8], str]:
    notes: list[str] = []
    if getattr(picture, "n_frames", 1) > 1:
        notes.append(f"first of {picture.n_frames} frames")  # type: ignore[attr-defined]
    if picture.mode not in _DIRECT:
        raise ImageError(f"pixels of mode {picture.mode} have no 8-bit RGB meaning")
    profile = picture.info.get("icc_profile")
    if picture.getexif().get(_ORIENTATION, 1) != 1:
        notes.append("EXIF orientation applied")
    picture = _on_white(ImageOps.exif_transpose(picture), notes)
    if picture.mode == "CMYK" and not profile:
        notes.append("CMYK without a profile, converted by the plain formula")
    if profile and picture.mode in ("RGB", "CMYK", "L"):
        picture = _to_srgb(picture, profile, notes)
    if picture.mode not in ("RGB", "CMYK"):
        label = {"P": "palette", "PA": "palette", "YCbCr": "YCbCr"}.get(picture.mode, "greyscale")
        notes.append(label)
    return np.asarray(picture.convert("RGB")), "; ".join(notes)


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
        if "srgb" in name.lower() and picture.mode == "RGB":
            return picture
        converted = ImageCms.profileToProfile(
            picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError) as error:
        raise ImageError(f"its ICC profile cannot be applied: {error}") from error
    notes.append(f"ICC profile {name!r} converted to sRGB")
    assert converted is not None  # profileToProfile returns None only when working in place
    return converted


def _sixteen_bit(data: bytes, picture: PillowImage.Image) -> tuple[NDArray[np.uint8], str] | None:
    """16-bit PNG and TIFF, rounded; Pillow would drop the low byte or refuse. None if not one."""
    if picture.format == "PNG":
        if data[24] != 16:
            return None
        import imagecodecs

        deep = imagecodecs.png_decode(data)
    elif picture.format == "TIFF":
        bits = picture.tag_v2.get(258, (8,))  # type: ignore[attr-defined]
        if max(bits) != 16:
            return None
        import tifffile

        deep = tifffile.imread(io.BytesIO(data), key=0)
    else:
        return None
    if deep.dtype != np.uint16 or deep.ndim not in (2, 3):
        raise ImageError(f"pixels of type {deep.dtype} have no 8-bit RGB meaning")
    return _round_to_8(deep, picture)


def _round_to_8(
    deep: NDArray[np.uint16], picture: PillowImage.Image
) -> tuple[NDArray[np.uint8], str]:
    notes = ["16-bit rounded to 8"]
    channels = deep[:, :, None] if deep.ndim == 2 else deep
    if channels.shape[2] > 4:
        raise ImageError(f"{channels.shape[2]} channels are not an RGB image")
    eight = ((channels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels.shape[2]]
    flat = eight[:, :, 0] if mode == "L" else eight
    reduced = PillowImage.fromarray(np.ascontiguousarray(flat), mode)
    for key in ("icc_profile", "exif"):
        if key in picture.info:
            reduced.info[key] = picture.info[key]
    image, rest = _convert(reduced)
    return image, "; ".join([*notes, rest] if rest else notes)
