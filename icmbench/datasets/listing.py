"""Files below a data folder: links are followed once, nothing is left out without a note."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from icmbench.core.errors import DatasetError

# Suffixes of images that `read_image` does not read; Pillow and other programs write them.
OTHER_PICTURES: Final = frozenset({
    ".avif", ".bmp", ".cr2", ".dng", ".exr", ".gif", ".hdr", ".heic", ".heif", ".j2k", ".jfif",
    ".jp2", ".jpe", ".jxl", ".pbm", ".pgm", ".pic", ".pnm", ".ppm", ".psd", ".svg", ".tga",
})  # fmt: skip
_NAMED: Final = 3  # names in a note; the rest is counted


@dataclass
class Listing:
    """Files below a folder.

    Attributes:
        files: paths below the folder as it was given, sorted; a link into nowhere is one, too.
        hidden: files and folders whose name begins with a dot, relative to the folder.
        outputs: folders of results of this or another run.
        repeated: linked folders that another path of the listing leads to.
        special: pipes, sockets and devices.
    """

    files: list[Path] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    special: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """A sentence for everything that was left out."""
        kinds = Counter(path.suffix.lower() for path in self.files)
        others = {kind: kinds[kind] for kind in sorted(OTHER_PICTURES & kinds.keys())}
        notes = []
        if others:
            text = ", ".join(f"{count} {kind}" for kind, count in others.items())
            notes.append(f"files of other kinds are left out: {text}; convert them to PNG")
        for names, text in (
            (self.outputs, "outputs of a run are no images of the set"),
            (self.hidden, "hidden files and folders are left out"),
            (self.repeated, "linked folders that are listed under another path are left out"),
            (self.special, "special files are left out"),
        ):
            if names:
                notes.append(f"{text}: {_some(names)}")
        return notes


def list_files(
    root: Path, outputs: Collection[Path] = (), downloads: Path | None = None
) -> Listing:
    """All files below a folder.

    Linked sub-folders are entered, every folder once: a folder's own path precedes the links to
    it, so that a loop ends and no file is listed twice. Hidden files and folders are left out, and
    so are `outputs`, `downloads` and every folder that a run of icmbench has written to.

    Raises DatasetError where the folder is one of `outputs`, where a sub-folder cannot be read.
    """
    own = {os.path.realpath(path) for path in outputs}
    if os.path.realpath(root) in own:
        raise DatasetError(
            f"{root} is also where results are written: name another folder (`results`)"
        )
    if downloads is not None:
        own |= {os.path.realpath(downloads)}
    found = Listing()
    seen: set[str] = set()
    waiting = [root]  # linked folders are entered after all others
    while waiting:
        waiting = sorted(link for start in waiting for link in _walk(start, root, own, seen, found))
    found.files.sort()
    found.hidden.sort()
    return found


def _walk(
    start: Path, root: Path, own: Collection[str], seen: set[str], found: Listing
) -> list[Path]:
    """List what lies below `start` without entering links; the links to folders."""
    links, folders = [], [start]
    while folders:
        folder = folders.pop()
        real = os.path.realpath(folder)
        name = _below(folder, root)
        if real in seen:
            found.repeated.append(name)
            continue
        seen.add(real)
        if folder != root and (real in own or is_results(folder)):
            found.outputs.append(name)
            continue
        for entry in _entries(folder):
            path = folder / entry.name
            if entry.name.startswith("."):  # such as the ._x.png that macOS leaves
                found.hidden.append(_below(path, root))
            elif entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif os.path.isdir(path):
                links.append(path)
            elif os.path.isfile(path) or (entry.is_symlink() and not os.path.exists(path)):
                found.files.append(path)
            else:
                found.special.append(_below(path, root))
    return links


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be listed: {error.strerror}") from error


def is_results(folder: Path) -> bool:
    """True if a run of icmbench has written its results to a folder."""
    return any((folder / "datasets").glob("*/shards/*.csv"))


def _below(path: Path, root: Path) -> str:
    return str(path.relative_to(root))


def _some(names: Iterable[str]) -> str:
    shown = sorted(names)
    more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
    return ", ".join(repr(name) for name in shown[:_NAMED]) + more


def is_picture(path: Path) -> bool:
    """True if `read_image` takes a file, by its suffix."""
    from icmbench.core.images.image_files import EXTENSIONS

    return path.suffix.lower() in EXTENSIONS
