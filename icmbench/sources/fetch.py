"""Fetching of a source: what is missing is downloaded, everything is checked and unpacked."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from icmbench.core.errors import DatasetError
from icmbench.core.files import sha256_file
from icmbench.sources.catalogue import Source, SourceFile
from icmbench.sources.checks import WHOLE, check_free, wrong_content
from icmbench.sources.completeness import is_complete, mark_complete, offline_text
from icmbench.sources.download import incomplete
from icmbench.sources.records import Records, only_process, read_records
from icmbench.sources.transfers import Order, download_all
from icmbench.sources.unpack import unpack

log = logging.getLogger(__name__)

NOTED: Final = 20  # names of an archive's content that are looked for afterwards, at least


def fetch_source(source: Source, downloads: Path, *, offline: bool = False) -> Path:
    """Fetch what is missing of a source, check all files, unpack its archives; its folder.

    What is there already is not fetched again, and interrupted downloads are resumed. Archives are
    removed after they are unpacked, except for those that a person put there.

    Args:
        downloads: folder of all sources.
        offline: never use the network.

    Raises DatasetError for a file that is missing offline or needs manual steps, with those; for a
    download that fails at every address; for a size or checksum that differs from the stated or
    the recorded one; for an archive that is refused. StorageError for too little space.
    """
    folder = source.folder(downloads)
    with only_process(downloads, source.name):
        if is_complete(source, downloads):
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        records = read_records(downloads, source.name)
        missing = [file for file in source.files if not _is_done(file, folder, records)]
        _check_obtainable(source, missing, folder, offline)
        _check_space(source, missing, folder)
        orders = [Order(file, folder / file.name, expected(file, records)) for file in missing]
        for order, url in download_all(source.name, orders, records.path):
            _record(order.file, order.target, url, records)
        for file in source.files:
            if file.unpack and not _is_unpacked(file, folder, records):
                _unpack(file, folder, records)
        mark_complete(source, downloads, {f.name: _entry(f, folder, records) for f in source.files})
    return folder


def expected(file: SourceFile, records: Records) -> dict[str, str]:
    """Checksums that a file must have: the stated ones, or that of its first download."""
    first = records.files.get(file.name, {}).get("sha256", "")
    sha256 = file.sha256 if len(file.sha256) == WHOLE else first or file.sha256
    stated = {"sha256": sha256, "sha1": file.sha1, "md5": file.md5}
    return {name: text for name, text in stated.items() if text}


def _is_unpacked(file: SourceFile, folder: Path, records: Records) -> bool:
    stored = records.unpacked.get(file.name)
    return stored is not None and (
        stored["sha256"].startswith(expected(file, records).get("sha256", ""))
        and all((folder / top).exists() for top in stored["names"])
    )


def _is_done(file: SourceFile, folder: Path, records: Records) -> bool:
    """True if nothing of a file needs to be downloaded; DatasetError for a wrong manual file."""
    if file.unpack and _is_unpacked(file, folder, records):
        return True
    path = folder / file.name
    if not path.is_file():
        return False
    wrong = wrong_content(path, file.size, expected(file, records))
    if wrong and not file.urls:
        raise DatasetError(f"{path}: {wrong}: download it again, or correct {records.path}")
    if not wrong:
        _record(file, path, "", records)
    return not wrong


def _check_obtainable(
    source: Source, missing: Sequence[SourceFile], folder: Path, offline: bool
) -> None:
    """DatasetError where missing files need a network that may not be used, or a person."""
    by_hand = [file for file in missing if not file.urls]
    if by_hand:
        names = ", ".join(file.name for file in by_hand)
        steps = "".join(f"\n  {n}. {text}" for n, text in enumerate(source.manual, 1))
        command = source.command(folder.parent)
        raise DatasetError(
            f"{source.name}: {names} must be obtained by hand (licence: {source.licence}):{steps}\n"
            f"  {len(source.manual) + 1}. Put {names} into {folder} and run `{command}`."
        )
    if offline and missing:
        raise DatasetError(offline_text(source, folder.parent, missing))


def _check_space(source: Source, missing: Sequence[SourceFile], folder: Path) -> None:
    """StorageError where the disk cannot hold the missing files, archives also unpacked."""
    needed = 0
    for file in missing:
        size = file.size or 0
        part = incomplete(folder / file.name)
        # Unpacked, an archive of compressed images takes its own size once more, at least.
        needed += size * (2 if file.unpack else 1) - (part.stat().st_size if part.exists() else 0)
    check_free(folder, needed, source.name)


def _record(file: SourceFile, path: Path, url: str, records: Records) -> None:
    """Record the checksum of a first download for which the source states none."""
    if len(file.sha256) == WHOLE or file.name in records.files:
        return
    size, sha256 = path.stat().st_size, sha256_file(path)
    records.files[file.name] = {"sha256": sha256, "size": size, "url": url}
    records.save()
    log.info("%s: sha256 %s recorded in %s", path, sha256, records.path)


def _unpack(file: SourceFile, folder: Path, records: Records) -> None:
    path = folder / file.name
    log.info("%s: unpacking", path)
    try:
        names = _unpack_all(file, folder)
    except DatasetError:  # it is not what was wanted: neither its checksum nor a download stays
        if records.files.pop(file.name, None):
            records.save()
        if file.urls:
            path.unlink()
        raise
    sha256 = expected(file, records)["sha256"]
    names = names[:: max(1, len(names) // NOTED)]
    records.unpacked[file.name] = {"sha256": sha256, "names": names, "size": path.stat().st_size}
    records.save()
    if file.urls:
        path.unlink()


def _unpack_all(file: SourceFile, folder: Path) -> list[str]:
    """Unpack an archive and the archives inside of it; the names at the top of its content."""
    path = folder / file.name
    names = unpack(path, folder)
    for name in file.inner:
        inner = folder / name
        if not inner.is_file():
            raise DatasetError(f"{path}: holds no archive {name!r}")
        unpack(inner, inner.parent)
        inner.unlink()
    return names


def _entry(file: SourceFile, folder: Path, records: Records) -> dict[str, Any]:
    """Entry of a file in `fetched.json`."""
    if file.unpack:
        stored = records.unpacked[file.name]
        entry = {"sha256": stored["sha256"], "size": stored["size"]}
        return {**entry, "unpacked": stored["names"]}
    size = (folder / file.name).stat().st_size
    return {"sha256": expected(file, records)["sha256"], "size": size}
