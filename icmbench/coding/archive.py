"""Zip archives of streams and pictures: stored, sorted names, fixed dates, complete or absent."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from icmbench.codecs.strings import slug
from icmbench.errors import MeasurementError
from icmbench.files import atomic_path

_DATE = (1980, 1, 1, 0, 0, 0)  # zip's earliest: equal contents give equal archives


class Writer:
    """Adds members to an archive that `create` opened."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def add(self, name: str, data: bytes) -> None:
        """Store a member; ValueError where the name is taken."""
        if name in self._archive.NameToInfo:
            raise ValueError(f"member {name} is written twice")
        info = zipfile.ZipInfo(name, _DATE)
        info.external_attr = 0o644 << 16
        self._archive.writestr(info, data, zipfile.ZIP_STORED)


@contextlib.contextmanager
def create(path: Path) -> Iterator[Writer]:
    """A new archive; it appears under its name when the block has succeeded."""
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        yield Writer(archive)


@contextlib.contextmanager
def reader(path: Path) -> Iterator[zipfile.ZipFile]:
    """An archive opened for reading; MeasurementError where it is damaged."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, FileNotFoundError) as error:
        raise MeasurementError(f"{path}: {error}") from error
    with archive:
        yield archive


def stream_member(encoding: str, image_id: str, extension: str) -> str:
    """``webp-quality20/astronaut.webp``."""
    return f"{slug(encoding)}/{image_id}.{extension}"


def picture_member(codec_string: str, image_id: str) -> str:
    """``webp-quality20/astronaut.png``."""
    return f"{slug(codec_string)}/{image_id}.png"
