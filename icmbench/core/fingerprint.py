"""Fingerprints of code: import closures of modules, and versions of imported distributions.

    code = Code(cache=Path(".snakemake/icmbench/sources.json"))
    code.fingerprint(["icmbench.codecs.conventional.webp"])
    # ["code 3f2a9c…", "numpy 2.1.3", "pillow 11.0.0"]

The closure is read from the sources (`core.sources`): nothing is imported, nothing is listed by
hand. It holds the packages around a module, too, since importing the module runs them.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import icmbench
from icmbench.core.files import sha256_bytes, sha256_file
from icmbench.core.sources import Source, SourceCache
from icmbench.core.versions import package_version

OURS: Final = icmbench.__name__
CACHE: Final = "__pycache__"


@dataclass(frozen=True)
class Closure:
    """All code that can run when some modules are imported and their functions called.

    Attributes:
        modules: names of modules, sorted; start files by their path.
        digest: sha256 of their names and digests, and of the data beside them.
        packages: distributions that they import, sorted; an imported module that is not installed
            stands under its own name.
    """

    modules: tuple[str, ...]
    digest: str
    packages: tuple[str, ...]


class Code:
    """The code of this package and of plug-ins.

    Args:
        cache: file of parsed sources, which may be deleted at any time; None: none is kept.
        package: the folder of the package `icmbench`.
    """

    def __init__(self, cache: Path | None = None, package: Path | None = None) -> None:
        # Top-level modules whose sources count -> their folder, or their only file.
        self._roots = {OURS: package or Path(icmbench.__file__).parent}
        self._cache = SourceCache(cache)
        self._paths: dict[str, Path | None] = {}
        self._sources: dict[Path, Source] = {}
        self._imported: dict[Path, list[str]] = {}
        self._closures: dict[tuple[str, ...], Closure] = {}
        self._distributions: dict[str, list[str]] | None = None

    def closure(self, starts: Iterable[str | Path]) -> Closure:
        """The import closure of modules, given by name or, for scripts, as files.

        A start module outside `icmbench` belongs to a plug-in: its sources count, too, or the
        bytes of its file where it is compiled.

        Raises ModuleNotFoundError for a start module that is not found.
        """
        key = tuple(sorted(map(str, starts)))
        if key not in self._closures:
            self._closures[key] = self._walk(key)
        return self._closures[key]

    def fingerprint(self, starts: Iterable[str | Path], packages: Iterable[str] = ()) -> list[str]:
        """The closure as a parameter of a job: a digest of the code, and a version per package.

        `packages`: distributions that count besides those that are imported.
        """
        found = self.closure(starts)
        names = sorted({*found.packages, *packages})
        versions = [f"{name} {package_version(name)}" for name in names]
        return [f"code {found.digest[:16]}", *versions]

    def digest(self) -> str:
        """sha256 of all modules of the package `icmbench`."""
        root = self._roots[OURS]
        paths = sorted(root.rglob("*.py"))
        lines = [f"{path.relative_to(root)} {self._source(path).digest}\n" for path in paths]
        return sha256_bytes("".join(lines).encode())

    def keep(self) -> None:
        """Read the whole package and the distributions' modules, and keep what is new.

        To be called once, before fingerprints are asked for.
        """
        self.digest()
        self._installed()
        self._cache.save()

    def _walk(self, starts: tuple[str, ...]) -> Closure:
        files: dict[str, Path] = {}
        outside: set[str] = set()
        # Of other plug-ins the version counts, in whatever order closures are asked for.
        inside = {OURS, *(start.partition(".")[0] for start in starts if not start.endswith(".py"))}
        waiting: list[str] = []
        compiled: dict[str, str] = {}
        for start in starts:
            if start.endswith(".py"):
                files[start] = Path(start)
                waiting.append(start)
            else:
                self._add_root(start.partition(".")[0], start)
                if self._path(start) is None:
                    compiled[start] = _compiled_digest(start)
                waiting += self._enter(start, files)
        while waiting:
            name = waiting.pop()
            for target in self._targets(name, files[name]):
                top = target.partition(".")[0]
                if top in inside or self._is_loose(top):
                    waiting += self._enter(target, files)
                elif top not in sys.stdlib_module_names:
                    outside.add(top)
        lines = [f"{_label(name)} {self._digest(path)}\n" for name, path in sorted(files.items())]
        lines += [f"{name} {digest}\n" for name, digest in sorted(compiled.items())]
        packages = {each for top in outside for each in self._installed().get(top, [top])}
        plugins = self._plugins([*files, *compiled])
        packages |= {each for top in plugins for each in self._installed().get(top, [])}
        digest = sha256_bytes("".join(lines).encode())
        return Closure(tuple(sorted(files)), digest, tuple(sorted(packages)))

    def _enter(self, name: str, files: dict[str, Path]) -> Iterator[str]:
        """Add a module and the packages around it; those that are new."""
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            each = ".".join(parts[:count])
            path = self._path(each)
            if path is not None and each not in files:
                files[each] = path
                yield each

    def _targets(self, name: str, path: Path) -> list[str]:
        if path not in self._imported:
            self._imported[path] = list(self._read_targets(name, path))
        return self._imported[path]

    def _read_targets(self, name: str, path: Path) -> Iterator[str]:
        """Full names of all that a module imports; modules of its own package alone by string."""
        source = self._source(path)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for level, module, names in source.imports:
            base = module
            if level:
                around = package.split(".")[: len(package.split(".")) - level + 1]
                base = ".".join([*around, *([module] if module else [])])
            yield base
            yield from (f"{base}.{each}" for each in names if self._path(f"{base}.{each}"))
        top = name.partition(".")[0]
        yield from (
            text for text in source.named if text.startswith(f"{top}.") and self._path(text)
        )

    def _path(self, name: str) -> Path | None:
        """The source of a module below a root; None where there is none."""
        if name not in self._paths:
            top, *rest = name.split(".")
            root = self._roots.get(top)
            self._paths[name] = _find(root, rest) if root is not None else None
        return self._paths[name]

    def _source(self, path: Path) -> Source:
        if path not in self._sources:
            self._sources[path] = self._cache.source(path)
        return self._sources[path]

    def _digest(self, path: Path) -> str:
        """Digest of a module with the data beside it that it names.

        What lies in `__pycache__` is no data: runs write bytecode and numba's machine code there.
        """
        source = self._source(path)
        parts = [source.digest]
        for name in source.beside:
            place = path.parent / name
            inner = sorted(place.rglob("*")) if place.is_dir() else [place]
            if not (place / "__init__.py").exists():
                kept = [each for each in inner if each.is_file() and CACHE not in each.parts]
                parts += [sha256_file(each) for each in kept]
        return " ".join(parts)

    def _plugins(self, files: Iterable[str]) -> set[str]:
        return {name.partition(".")[0] for name in files if not name.endswith(".py")} - {OURS}

    def _add_root(self, top: str, name: str = "") -> None:
        """Make a top-level module one whose sources count; `name`: a module in it."""
        if top not in self._roots and (place := _place(top, name)) is not None:
            self._roots[top] = place
            self._imported.clear()
            self._paths = {k: v for k, v in self._paths.items() if k.partition(".")[0] != top}

    def _is_loose(self, top: str) -> bool:
        """True if a module has sources and belongs to no distribution: a file beside a plug-in."""
        if top in sys.stdlib_module_names or top in self._installed():
            return False
        self._add_root(top)
        return top in self._roots

    def _installed(self) -> dict[str, list[str]]:
        """Top-level modules -> the distributions that bring them, sorted."""
        if self._distributions is None:
            key = "distributions " + sha256_bytes("\n".join(_metadata_folders()).encode())
            stored = self._cache.get(key)
            if stored is None:
                found = importlib.metadata.packages_distributions()
                stored = {name: sorted(set(each)) for name, each in found.items()}
                self._cache.put(key, stored)
            self._distributions = stored
        return self._distributions


def _find(root: Path, rest: list[str]) -> Path | None:
    if root.is_file():
        return None if rest else root
    place = root.joinpath(*rest)
    for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
        if path.is_file() and (rest or path.name == "__init__.py"):
            return path
    return None


def _compiled_digest(name: str) -> str:
    """sha256 of the file of a module without Python source, such as an extension in C.

    Raises ModuleNotFoundError where there is no such module.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise ModuleNotFoundError(f"{name}: neither a Python source nor a compiled module is found")
    return sha256_file(Path(spec.origin))


def _place(top: str, name: str = "") -> Path | None:
    """The folder or the file of a top-level module's Python sources.

    Several distributions may share a namespace package, which has no file of its own: of its
    folders, the one that holds the module `name`. `__main__` is the program that asks, whichever
    that is: nothing of a plug-in that imports it.
    """
    named = top.isidentifier() and top != "__main__"
    spec = importlib.util.find_spec(top) if named else None
    if spec is not None and spec.origin is None and name:
        folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
        return next((f for f in folders if _find(f, name.split(".")[1:])), None)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    path = Path(spec.origin)
    return path.parent if path.name == "__init__.py" else path


def _metadata_folders() -> list[str]:
    """Names of the metadata folders of all distributions: they hold the versions."""
    names = []
    for folder in sys.path:
        if os.path.isdir(folder or "."):
            entries = os.scandir(folder or ".")
            names += [f"{folder}/{e.name}" for e in entries if e.name.endswith("-info")]
    return sorted(names)


def _label(name: str) -> str:
    """A start file by its name alone: another checkout's fingerprints are the same."""
    return Path(name).name if name.endswith(".py") else name
