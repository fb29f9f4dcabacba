"""A new folder, or a tar of one, that appears when it is complete."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from icmbench.core.errors import ConfigError
from icmbench.core.files import atomic_path, storage_errors, temporary_beside

_ARCHIVES: Final = (".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".zip", ".7z")


class Sink(Protocol):
    """Takes files by their paths below the folder; `name` is the folder's own."""

    name: str

    def add(self, path: str, data: bytes) -> None:
        """Write a file."""


class _Folder:
    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name

    def add(self, path: str, data: bytes) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


class _Tar:
    """Members have no dates or owners, so that equal contents give equal files."""

    def __init__(self, archive: tarfile.TarFile, name: str) -> None:
        self.archive = archive
        self.name = name

    def add(self, path: str, data: bytes) -> None:
        info = tarfile.TarInfo(f"{self.name}/{path}")
        info.size, info.mtime, info.mode = len(data), 0, 0o644
        self.archive.addfile(info, io.BytesIO(data))


@contextlib.contextmanager
def new_share(out: Path) -> Iterator[Sink]:
    """The sink of a new folder, or of a tar where `out` ends in `.tar`.

    Raises ConfigError where `out` exists or names an archive of another kind, StorageError where
    the disk is full.
    """
    if out.exists():
        raise ConfigError(f"{out}: is there already; name a new folder or .tar")
    if out.suffix.lower() in _ARCHIVES and out.suffix != ".tar":
        raise ConfigError(f"{out}: name a folder or a file that ends in .tar")
    if out.suffix == ".tar":
        with (
            atomic_path(out) as temporary,
            tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as archive,
        ):
            yield _Tar(archive, out.stem)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(out)
    try:
        with storage_errors(out):
            temporary.mkdir()
            yield _Folder(temporary, out.name)
            os.replace(temporary, out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
