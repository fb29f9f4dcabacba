"""Archives, unpacked without leaving their folder: zip and tar, plain or compressed."""

from __future__ import annotations

import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Final

from icmbench.core.errors import DatasetError
from icmbench.core.files import storage_errors
from icmbench.sources.checks import check_free

SUFFIXES: Final = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_LINK: Final = 0o120000  # type of a file in the mode that zip keeps, stat.S_IFLNK
_TYPE: Final = 0o170000


def unpack(archive: Path, folder: Path) -> list[str]:
    """Unpack an archive into a folder; the names at the top of its content, sorted.

    Files of the same names are replaced. The sizes that a zip states are compared with the free
    space first. Modes, owners and times are not taken over.

    Raises DatasetError, naming the archive and the member, for an absolute path, a path with `..`,
    a link, a device and a damaged archive, before anything of that member is written; StorageError
    where the disk is full.
    """
    tops: set[str] = set()
    try:
        with storage_errors(archive):
            members = _zip(archive, folder) if archive.suffix == ".zip" else _tar(archive)
            for name, content in members:
                place = _place(archive, name)
                tops.add(place.parts[0])
                target = folder / place
                if content is None:
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with content, open(target, "wb") as handle:
                    shutil.copyfileobj(content, handle, 1 << 20)
    # RuntimeError: an unknown method of compression or a password; gzip's and bz2's OSErrors of
    # damaged data have no number.
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError, zlib.error) as error:
        raise DatasetError(f"{archive}: damaged or no archive: {error}") from error
    except (OSError, lzma.LZMAError) as error:
        if getattr(error, "errno", None) is not None:
            raise
        raise DatasetError(f"{archive}: damaged: {error}") from error
    return sorted(tops)


def _place(archive: Path, name: str) -> PurePosixPath:
    """Path of a member below the folder; DatasetError where it would lie outside."""
    place = PurePosixPath(name.replace("\\", "/"))
    drive = place.parts[0].endswith(":") if place.parts else False
    if place.is_absolute() or ".." in place.parts or drive or "\0" in name or not place.parts:
        raise DatasetError(f"{archive}: the member {name!r} would be written outside of its folder")
    return place


def _zip(path: Path, folder: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        check_free(folder, sum(member.file_size for member in members), f"content of {path}")
        for member in members:
            if member.external_attr >> 16 & _TYPE == _LINK:
                raise _refused(path, member.filename, "a link")
            yield member.filename, None if member.is_dir() else archive.open(member)


def _tar(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    with tarfile.open(archive) as opened:
        for member in opened:
            if member.isdir():
                if os.path.normpath(member.name) != ".":
                    yield member.name, None
                continue
            if not member.isfile():
                kind = "a link" if member.islnk() or member.issym() else "a special file"
                raise _refused(archive, member.name, kind)
            yield member.name, opened.extractfile(member)


def _refused(archive: Path, name: str, kind: str) -> DatasetError:
    return DatasetError(f"{archive}: the member {name!r} is {kind}: archives may hold files alone")
