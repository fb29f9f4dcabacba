"""Zip archives of streams, reconstructions and predictions: fixed dates, complete or absent."""

from __future__ import annotations

import contextlib
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import numpy as np
from PIL import Image as PillowImage

from icmbench.codecs.base import Image
from icmbench.codecs.specs import slug
from icmbench.core.errors import MeasurementError
from icmbench.core.files import atomic_path
from icmbench.core.images.png import SIGNATURE

_DATE = (1980, 1, 1, 0, 0, 0)  # zip's earliest: equal contents give equal archives
_ENCRYPTED: Final = 1


class Writer:
    """Adds members to an archive that `create` opened."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def add(self, name: str, data: bytes) -> None:
        """Write a member; ValueError for a name that is taken."""
        if name in self._archive.NameToInfo:
            raise ValueError(f"member {name} is written twice")
        info = zipfile.ZipInfo(name, _DATE)
        info.external_attr = 0o644 << 16
        self._archive.writestr(info, data, self._archive.compression)

    def add_image(self, name: str, image: Image, *, compress: bool) -> None:
        """Write an image, uint8 (H, W, 3), as PNG.

        Args:
            compress: False: several times faster to write and to read, twice as long.
        """
        self.add(name, _compressed_png(image) if compress else _stored_png(image))


@contextlib.contextmanager
def create(path: Path, compression: int = zipfile.ZIP_STORED) -> Iterator[Writer]:
    """A new archive; it appears under its name when the block has succeeded."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", compression) as archive:
        yield Writer(archive)


def _compressed_png(image: Image) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _stored_png(image: Image) -> bytes:
    """A PNG without prediction and compression: Pillow chooses a filter per row at any level."""
    height, width = image.shape[:2]
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # the first byte of a row: no filter
    rows[:, 1:] = image.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 0)), (b"IEND", b""))
    return SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@contextlib.contextmanager
def reader(path: Path, handle: IO[bytes] | None = None) -> Iterator[zipfile.ZipFile]:
    """An archive opened for reading: all members stored, together no longer than the file.

    Args:
        path: the file, and the name that errors give.
        handle: its content, where that lies elsewhere.

    Raises MeasurementError naming the file where it is missing, damaged, or no archive of
    `create`: a compressed member may be a thousand times as long as the file.
    """
    with contextlib.ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(handle or path))
            _check(archive)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
            raise MeasurementError(f"{path}: {error}") from error
        yield archive


def _check(archive: zipfile.ZipFile) -> None:
    """BadZipFile where a member is not as `Writer.add` writes it."""
    assert archive.fp is not None
    length = archive.fp.seek(0, io.SEEK_END)
    for info in archive.infolist():
        stored = info.compress_type == zipfile.ZIP_STORED and info.file_size == info.compress_size
        if not stored or info.flag_bits & _ENCRYPTED:
            raise zipfile.BadZipFile(f"the member {info.filename!r} is not stored as it is")
    if sum(info.file_size for info in archive.infolist()) > length:
        raise zipfile.BadZipFile("its members are longer than the file")


def read_member(archive: zipfile.ZipFile, name: str, place: str = "") -> bytes:
    """A member's content.

    Args:
        archive: one that `reader` has opened.
        place: what errors call it; default: the file's name.

    Raises MeasurementError naming archive and member where it is missing or damaged.
    """
    place = place or str(archive.filename)
    try:
        return archive.read(name)
    except KeyError:
        raise MeasurementError(f"{place}: the member {name!r} is missing") from None
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError) as error:
        raise MeasurementError(f"{place}: the member {name!r} is damaged: {error}") from error


def read_picture(archive: zipfile.ZipFile, name: str, place: str = "") -> Image:
    """A reconstruction that a decoding job stored, uint8 (H, W, 3); as `read_member`.

    Raises MeasurementError also where the member is no such reconstruction.
    """
    place = place or str(archive.filename)
    data = read_member(archive, name, place)
    try:
        with PillowImage.open(io.BytesIO(data), formats=["PNG"]) as picture:
            image = np.asarray(picture)
    except (PillowImage.DecompressionBombError, MemoryError):
        raise MeasurementError(f"{place}: {name!r} is too large an image") from None
    # Pillow raises what it likes on a damaged file (SyntaxError, struct.error, OSError...).
    except Exception as error:
        what = f"{name!r} is a damaged image"
        raise MeasurementError(f"{place}: {what}: {error}") from error
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise MeasurementError(f"{place}: {name!r} is not 8-bit RGB")
    return image


def stream_member(encoding: str, image_id: str, extension: str) -> str:
    """``webp-quality20/astronaut.webp``."""
    return f"{slug(encoding)}/{image_id}.{extension}"


def picture_member(codec_spec: str, image_id: str) -> str:
    """``webp-quality20/astronaut.png``."""
    return f"{slug(codec_spec)}/{image_id}.png"
