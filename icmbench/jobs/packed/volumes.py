"""A folder as a few files of limited size, and back."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Final

from icmbench.core.errors import ModelError
from icmbench.core.files import sha256_bytes, write_bytes, write_json

LIST: Final = "volumes.json"
NAME: Final = "trained.{number:02d}"


def write_volumes(folder: Path, out: Path, volume_mb: float) -> list[Path]:
    """Write the files of a folder as volumes of at most `volume_mb` 10^6 bytes, and their list.

    Volumes that lie in `out` are replaced; the list is written last.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.add(path, str(path.relative_to(folder)))
    data, size = buffer.getvalue(), max(1, int(volume_mb * 1e6))
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    paths = [out / NAME.format(number=number) for number in range(len(parts))]
    for path in out.glob(NAME.format(number=0)[:-2] + "*"):
        path.unlink()
    for path, part in zip(paths, parts, strict=True):
        write_bytes(path, part)
    listed = {p.name: sha256_bytes(part) for p, part in zip(paths, parts, strict=True)}
    write_json(out / LIST, listed)
    return [*paths, out / LIST]


def has_volumes(folder: Path) -> bool:
    """True if volumes lie in a folder."""
    return (folder / LIST).is_file()


def read_volumes(folder: Path, target: Path) -> None:
    """Unpack volumes into a folder; ModelError where one is missing or damaged."""
    listed = json.loads((folder / LIST).read_text("utf-8"))
    parts = []
    for name, digest in listed.items():
        path = folder / name
        if not path.is_file():
            raise ModelError(f"{path}: missing: copy all files that {folder / LIST} names")
        parts.append(path.read_bytes())
        if sha256_bytes(parts[-1]) != digest:
            raise ModelError(f"{path}: damaged (its sha256 is another one): copy it again")
    with tarfile.open(fileobj=io.BytesIO(b"".join(parts))) as archive:
        archive.extractall(target, filter="data")
