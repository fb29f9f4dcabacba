"""State of a source on disk: complete or not, by the file `fetched.json` in its folder.

Plans of the workflow read it: nothing here touches the network or reads the files themselves.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from icmbench.core.fetch_command import FETCHED
from icmbench.core.files import write_json
from icmbench.sources.catalogue import Source, SourceFile
from icmbench.sources.checks import amount

LISTED: Final = 3  # files that a message names


def fetched_file(source: Source, downloads: Path) -> Path:
    """File that is written when all files of a source are there, checked and unpacked."""
    return source.folder(downloads) / FETCHED


def is_complete(source: Source, downloads: Path) -> bool:
    """True if all files of a source were checked, unpacked, and are still there.

    A checksum that the source states must be that of the fetched file.
    """
    folder, path = source.folder(downloads), fetched_file(source, downloads)
    try:
        stored = json.loads(path.read_text("utf-8"))["files"]
        return all(
            stored[file.name]["sha256"].startswith(file.sha256)
            and _is_there(folder, file.name, stored[file.name])
            for file in source.files
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _is_there(folder: Path, name: str, stored: dict[str, Any]) -> bool:
    if "unpacked" in stored:
        return all((folder / top).exists() for top in stored["unpacked"])
    return bool((folder / name).stat().st_size == stored["size"])


def mark_complete(source: Source, downloads: Path, files: dict[str, dict[str, Any]]) -> None:
    """Write `fetched.json`.

    Args:
        files: by name, `sha256`, `size` in bytes and of an archive `unpacked`, names at the top of
            its content.
    """
    write_json(fetched_file(source, downloads), {"source": source.name, "files": files})


def offline_text(source: Source, downloads: Path, missing: Sequence[SourceFile]) -> str:
    """Sentence about files that may not be fetched: the first one, its size, URL, the command."""
    folder, first = source.folder(downloads), missing[0]
    where = first.urls[0] if first.urls else f"by hand from {source.homepage}"
    more = f" and {len(missing) - 1} more files" if len(missing) > 1 else ""
    return (
        f"{source.name}: {folder / first.name} ({amount(first.size)}, {where}){more} not fetched, "
        f"and offline is set: run `{source.command(downloads)}` where there is a network, and "
        f"copy {folder} here"
    )


def missing_text(source: Source, downloads: Path, *, offline: bool = False) -> str:
    """Sentence about a source that is not there: the command, first files, sizes, addresses."""
    if offline:
        return offline_text(source, downloads, source.files)
    return (
        f"{source.name} is not in {source.folder(downloads)}: run `{source.command(downloads)}` "
        f"({described(source)})"
    )


def described(source: Source) -> str:
    """First files of a source with their sizes and addresses."""
    texts = []
    for file in source.files[:LISTED]:
        where = file.urls[0] if file.urls else f"by hand from {source.homepage}"
        texts.append(f"{file.name}, {amount(file.size)}, {where}")
    more = len(source.files) - LISTED
    return "; ".join(texts) + (f"; and {more} more files" if more > 0 else "")
