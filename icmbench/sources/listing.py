"""Texts about sources, for `icmbench fetch --list`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from icmbench.sources.catalogue import Source, SourceFile
from icmbench.sources.checks import amount
from icmbench.sources.completeness import is_complete


def list_sources(sources: Iterable[Source], downloads: Path) -> str:
    """A line per source: name, state, size, title, licence."""
    rows = [(s.name, _state(s, downloads), _size(s), f"{s.title} ({s.licence})") for s in sources]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def describe(source: Source, downloads: Path) -> str:
    """Everything that is known of a source: files, addresses, checksums, manual steps."""
    lines = [
        f"{source.name}: {source.title}",
        f"licence: {source.licence}",
        f"homepage: {source.homepage}",
        f"folder: {source.folder(downloads)} ({_state(source, downloads)})",
        *(f"by hand {number}: {step}" for number, step in enumerate(source.manual, 1)),
    ]
    for file in source.files:
        lines.append(f"{file.name}: {amount(file.size)}, {_checksum(file)}")
        lines += [f"  {url}" for url in file.urls]
    return "\n".join(lines)


def _state(source: Source, downloads: Path) -> str:
    if is_complete(source, downloads):
        return "complete"
    by_hand = any(not file.urls for file in source.files)
    return "by hand" if by_hand else "not fetched"


def _size(source: Source) -> str:
    sizes = [file.size for file in source.files if file.size is not None]
    more = " and more" if 0 < len(sizes) < len(source.files) else ""
    return amount(sum(sizes) if sizes else None) + more


def _checksum(file: SourceFile) -> str:
    if file.sha256:
        return f"sha256 {file.sha256}" + ("" if len(file.sha256) == 64 else "...")
    for name, text in (("sha1", file.sha1), ("md5", file.md5)):
        if text:
            return f"{name} {text}"
    return "checksum recorded at the first download"
