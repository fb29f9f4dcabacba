"""The file that travels: a plain tar whose first member, pack.json, has the sha256 of all others.

Members are sorted and have no dates or owners, so that equal contents give equal files.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

import icmbench
from icmbench.core.errors import MeasurementError
from icmbench.core.files import atomic_path, sha256_bytes, sha256_file
from icmbench.core.progress import progress

FORMAT: Final = 1
STREAMS: Final = "streams"  # streams and models, on their way out
PICTURES: Final = "pictures"  # their reconstructions, for the first machine
ABOUT: Final = "pack.json"
_PIECE: Final = 1 << 20
_ABOUT_BYTES: Final = 1 << 26  # of pack.json: a hundred bytes for each of the members
# What tarfile and json raise on files of others, besides `tarfile.TarError`.
_UNREADABLE: Final = (ValueError, OverflowError, LookupError, EOFError, RecursionError)


def write_bundle(
    path: Path, kind: str, about: Mapping[str, Any], files: Mapping[str, Path]
) -> None:
    """Write a bundle of files by member name; it appears when it is complete.

    Args:
        kind: `STREAMS` or `PICTURES`.
        about: what pack.json holds besides kind, format, version and the members' sha256.

    Raises MeasurementError naming a file that changes meanwhile.
    """
    digests = {name: sha256_file(files[name]) for name in sorted(files)}
    head = {"kind": kind, "format": FORMAT, "icmbench": icmbench.__version__}
    text = _signed({**about, **head, "members": digests})
    with (
        atomic_path(path) as temporary,
        tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as archive,
    ):
        archive.addfile(_member(ABOUT, len(text)), io.BytesIO(text))
        for name, digest in progress(digests.items(), desc=path.name, unit="file"):
            with open(files[name], "rb") as handle:
                source = _Hashing(handle)
                archive.addfile(_member(name, os.fstat(handle.fileno()).st_size), source)
            if source.sha256.hexdigest() != digest:
                raise MeasurementError(f"{files[name]}: it changed while it was packed")


class Bundle:
    """An opened bundle: `about` is its pack.json, `names` are its other members, sorted."""

    def __init__(self, path: Path, archive: tarfile.TarFile, about: dict[str, Any]) -> None:
        self.path = path
        self.about = about
        self.names = sorted(about["members"])
        self._archive = archive

    def open(self, name: str) -> IO[bytes]:
        """A member, open for reading at any place."""
        handle = self._archive.extractfile(name)
        assert handle is not None, f"{name} is a file: `open_bundle` has checked it"
        return handle

    def extract(self, folder: Path) -> None:
        """Write all members into a folder, pack.json too."""
        for name in (ABOUT, *self.names):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with self.open(name) as source, open(target, "wb") as out:
                shutil.copyfileobj(source, out, _PIECE)


@contextlib.contextmanager
def open_bundle(path: Path, kind: str) -> Iterator[Bundle]:
    """A bundle of a kind, every member checked before anything is used.

    The sizes that its headers declare are checked before anything is read: together they are no
    more than the file.

    Raises MeasurementError naming the file where it is not a bundle of that kind, is cut or
    altered, or holds a member that would not lie inside the folder it is unpacked to.
    """
    with contextlib.ExitStack() as stack:
        try:
            archive = stack.enter_context(tarfile.open(path, "r:"))
            _check_sizes(path, archive)
            about = _read_about(path, archive, kind)
            _check_members(path, archive, about["members"])
        except FileNotFoundError:
            raise MeasurementError(f"{path}: no such file") from None
        except (tarfile.TarError, *_UNREADABLE) as error:
            raise MeasurementError(f"{path}: damaged, or not a pack: {error}") from error
        except OSError as error:
            if error.filename:
                raise
            # A header that sends the reader to a place that no file has.
            raise MeasurementError(f"{path}: damaged, or not a pack: {error}") from error
        yield Bundle(path, archive, about)


def _check_sizes(path: Path, archive: tarfile.TarFile) -> None:
    """Every member is a plain file that lies in the tar as long as its header says."""
    length = path.stat().st_size
    for member in archive.getmembers():
        # A sparse file of a petabyte needs no more than a header.
        plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and member.sparse is None
        if not plain:
            raise MeasurementError(f"{path}: the member {member.name!r} is not a file")
        if not 0 <= member.size <= length - member.offset_data:
            raise MeasurementError(f"{path}: the member {member.name!r} is longer than the file")


def _read_about(path: Path, archive: tarfile.TarFile, kind: str) -> dict[str, Any]:
    first = archive.getmembers()[0] if archive.getmembers() else None
    handle = archive.extractfile(first) if first and first.name == ABOUT else None
    if handle is None:
        raise MeasurementError(f"{path}: not a pack: no {ABOUT} in front")
    if first and first.size > _ABOUT_BYTES:
        raise MeasurementError(f"{path}: its {ABOUT} is too long: {first.size} bytes")
    try:
        about = _checked(handle.read())
        found, version, members = about["kind"], about["format"], dict(about["members"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise MeasurementError(f"{path}: its {ABOUT} is damaged: {error}") from error
    if version != FORMAT:
        raise MeasurementError(f"{path}: of format {version}, this icmbench reads {FORMAT}")
    if found != kind:
        raise MeasurementError(f"{path}: it holds {found}, expected are {kind}")
    for name in members:
        if not _inside(name):
            raise MeasurementError(f"{path}: the member {name!r} would lie outside the folder")
        for folder in PurePosixPath(name).parents:
            if str(folder) in members:
                raise MeasurementError(f"{path}: the member {str(folder)!r} is a file and a folder")
    return about


def _signed(about: Mapping[str, Any]) -> bytes:
    """The text of pack.json, its own sha256 in it."""
    plain = json.dumps(about, sort_keys=True)
    signed = {**about, "sha256": sha256_bytes(plain.encode())}
    return json.dumps(signed, indent=1, sort_keys=True).encode()


def _checked(text: bytes) -> dict[str, Any]:
    """Contents of pack.json; raises ValueError if its own sha256 does not match."""
    about: dict[str, Any] = dict(json.loads(text))
    digest = about.pop("sha256")
    if sha256_bytes(json.dumps(about, sort_keys=True).encode()) != digest:
        raise ValueError("its own sha256 does not match")
    return about


def _check_members(path: Path, archive: tarfile.TarFile, digests: Mapping[str, str]) -> None:
    """Every member is a file, named once in pack.json, and has its sha256."""
    seen = {ABOUT}
    for member in archive.getmembers()[1:]:
        name = member.name
        if name not in digests or name in seen:
            what = "twice" if name in seen else f"not a file that {ABOUT} names"
            raise MeasurementError(f"{path}: the member {name!r} is {what}")
        seen.add(name)
        handle = archive.extractfile(member)
        assert handle is not None
        source = _Hashing(handle)
        while source.read(_PIECE):
            pass
        if source.sha256.hexdigest() != digests[name]:
            raise MeasurementError(f"{path}: the member {name!r} is damaged: another sha256")
    if missing := sorted(set(digests) - seen):
        raise MeasurementError(f"{path}: the member {missing[0]!r} is missing: the file is cut")


def _inside(name: object) -> bool:
    """True if a member's name is a plain relative path below the folder, other than pack.json."""
    if not isinstance(name, str) or not name or "\\" in name or "\0" in name:
        return False
    parts = PurePosixPath(name).parts
    return "/".join(parts) == name != ABOUT and not name.startswith("/") and ".." not in parts


def _member(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, 0, 0o644
    return info


class _Hashing(io.RawIOBase):
    """A file that computes the sha256 of the bytes read from it."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle = handle
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes."""
        block = self._handle.read(size)
        self.sha256.update(block)
        return block
