"""Model folders: which weight files a codec's model has, and the digest that its streams carry."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import icmbench
from icmbench.core.errors import ModelError
from icmbench.core.files import sha256_file

CARD: Final = "card.json"
DIGEST_BYTES: Final = 4
RATES: Final = "rates"  # folder of the further rates of a model that has weights per rate


@dataclass(frozen=True)
class ModelLayout:
    """The files of a codec's model folder, `<models>/<name>/<part>.safetensors` and its card.

    Attributes:
        name: of the folder.
        summary: of the model, for its card.
        parts: weight files that every stream depends on, in the order of the digest.
        encoder_parts: weight files that the encoder alone reads.
        contents: one line for every weight file, for the card.
        optional: weight files that streams depend on where they are present.
        texts: other files that streams depend on where they are present, below the folder.
        shared: parts whose bundled file is another model's, where the folder has none itself.
        decoding: the part whose metadata hold the decoding defaults, for the card.
        frozen: parts that all rates of a model have in common. They lie in the model folder alone,
            the others of the further rates in its folders `rates/<number>`.
    """

    name: str
    summary: str
    parts: tuple[str, ...]
    encoder_parts: tuple[str, ...]
    contents: Mapping[str, str]
    optional: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    shared: Mapping[str, ModelLayout] = field(default_factory=dict)
    decoding: str | None = None
    frozen: tuple[str, ...] = ()

    def home(self, folder: Path) -> Path:
        """The model folder that a folder `rates/<number>` belongs to; another folder itself."""
        further = folder.parent.name == RATES and folder.name.isdigit()
        return folder.parent.parent if further else folder

    def rate_numbers(self, folder: Path) -> list[int]:
        """Numbers of the further rates of a model folder, ascending."""
        found = (folder / RATES).glob("*")
        return sorted(int(path.name) for path in found if path.is_dir() and path.name.isdigit())

    def bundled(self) -> Path:
        """The model folder that is part of the package."""
        return Path(icmbench.__file__).parent / "weights" / self.name

    def part_file(self, folder: Path, part: str) -> Path:
        """The weight file of a part."""
        own = (self.home(folder) if part in self.frozen else folder) / f"{part}.safetensors"
        if part in self.shared and folder == self.bundled() and not own.is_file():
            owner = self.shared[part]
            return owner.part_file(owner.bundled(), part)
        return own

    def weight_files(self, folder: Path) -> list[Path]:
        """The weight files that streams depend on, those that are present."""
        return self._present(folder, (*self.parts, *self.optional))

    def stream_files(self, folder: Path) -> list[Path]:
        """All files that streams depend on, those that are present."""
        home = self.home(folder)
        texts = [path for name in self.texts if (path := home / name).is_file()]
        return [*self.weight_files(folder), *texts]

    def encoder_files(self, folder: Path) -> list[Path]:
        """The weight files that the encoder alone reads, those that are present."""
        return self._present(folder, self.encoder_parts)

    def _present(self, folder: Path, parts: Sequence[str]) -> list[Path]:
        return [path for part in parts if (path := self.part_file(folder, part)).is_file()]

    def check_folder(self, folder: Path, parts: Sequence[str] | None = None) -> None:
        """Raise ModelError where the folder or a file of `parts` (default: all) is missing."""
        if not folder.is_dir():
            raise ModelError(f"model folder {folder}: no such folder")
        parts = self.parts if parts is None else parts
        missing = [part for part in parts if not self.part_file(folder, part).is_file()]
        if missing:
            names = ", ".join(f"{part}.safetensors" for part in missing)
            raise ModelError(f"model folder {folder}: {names} missing")

    def weights_digest(self, folder: Path) -> bytes:
        """Digest of names and contents of all files that streams depend on, 4 bytes.

        Every stream carries it. Raises ModelError where a part is missing.
        """
        self.check_folder(folder)
        files = self.stream_files(folder)
        text = "".join(f"{file.name} {_digest(file)}\n" for file in files)
        return hashlib.sha256(text.encode()).digest()[:DIGEST_BYTES]


def _digest(path: Path) -> str:
    """The sha256 of a weight file; an unchanged file is read once in a process."""
    state = path.stat()
    return _read_digest(path, state.st_size, state.st_mtime_ns)


@functools.cache
def _read_digest(path: Path, size: int, changed: int) -> str:
    return sha256_file(path)
