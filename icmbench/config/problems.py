"""Problems of a configuration: collected under their key paths and raised together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from icmbench.core.errors import ConfigError, IcmbenchError
from icmbench.core.suggest import unknown


class Problems:
    """Errors of a configuration, collected in order and raised together."""

    def __init__(self) -> None:
        self.errors: list[IcmbenchError] = []

    def add(self, text: str) -> None:
        """Add a ConfigError, unless the same text was added before."""
        if text not in {str(error) for error in self.errors}:
            self.errors.append(ConfigError(text))

    @contextmanager
    def collect(self, where: str = "") -> Iterator[None]:
        """Catch an IcmbenchError of the block and keep it under the key path `where`."""
        try:
            yield
        except IcmbenchError as error:
            self.add_error(error, where)

    def add_error(self, error: IcmbenchError, where: str = "") -> None:
        """Add an error under the key path `where`, unless its text begins with that."""
        text = str(error)
        known = not where or text.startswith(where)
        self.errors.append(type(error)(text if known else f"{where}: {text}"))

    def unknown_names(
        self, where: str, names: Iterable[str], kind: str, known: Iterable[str]
    ) -> None:
        """Add a problem for every name that is not known, with the nearest known one."""
        found = set(known)
        for name in names:
            if name not in found:
                self.add(f"{where}: {unknown(kind, name, found)}")

    def missing_file(self, where: str, path: Path, expected: str) -> None:
        """Add a problem where a file that the configuration names does not exist."""
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "no such file"
            self.add(f"{where}: {path}: {kind}; expected {expected}")

    def missing_folder(self, where: str, path: Path, expected: str) -> None:
        """Add a problem where a folder that the configuration names does not exist."""
        if not path.is_dir():
            kind = "is no folder" if path.exists() else "no such folder"
            self.add(f"{where}: {path}: {kind}; expected {expected}")

    def raise_all(self) -> None:
        """Raise the collected problems: a single error unchanged, several as one ConfigError."""
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            lines = "".join(f"\n  {n}. {error}" for n, error in enumerate(self.errors, 1))
            raise ConfigError(f"{len(self.errors)} problems in the configuration:{lines}")
