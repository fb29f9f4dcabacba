"""Sources by name: files with addresses, sizes and checksums, licences, manual steps.

Entries are read from YAML and checked against `SCHEMA`. A checksum is stated by a publisher or by
several users of a file; where there is none, the one of the first download is recorded
(`icmbench.sources.records`).
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

import yaml

import icmbench
from icmbench.core.errors import ConfigError
from icmbench.core.fetch_command import FETCHED, fetch_command
from icmbench.core.schema import NAMES, REQUIRED, Schema, array, flag, integer, section, string
from icmbench.core.suggest import unknown

DATASETS: Final = Path(icmbench.__file__).parent / "datasets" / "sources.yaml"
MODELS: Final = Path(icmbench.__file__).parent / "models" / "sources.yaml"
# Publishers of the torch hub and OpenMMLab end a file name with the first digits of its sha256.
_DIGITS: Final = re.compile(r"-([0-9a-f]{8,64})\.(?:pth|pt|ckpt|pth\.tar|safetensors)")

_URL: Final = {"type": "string", "pattern": "^https?://[^ ]+$"}
_FILE: Final = section(
    {
        "name": string(REQUIRED, "path below the folder of the source"),
        "urls": array(_URL, [], "addresses in the order of attempts; default: bases + name"),
        "size": integer(None, "bytes", low=1),
        "sha256": {"type": "string", "pattern": "^[0-9a-f]{8,64}$"},
        "sha1": {"type": "string", "pattern": "^[0-9a-f]{40}$"},
        "md5": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "unpack": flag(False, "an archive, unpacked into the folder of the source and removed"),
        "inner": array(string(REQUIRED), [], "archives inside, unpacked beside themselves"),
    },
    required=["name"],
)
SCHEMA: Final[Schema] = {
    "type": "object",
    "propertyNames": NAMES,
    "additionalProperties": section(
        {
            "title": string(REQUIRED),
            "licence": string(REQUIRED),
            "homepage": _URL,
            "bases": array({**_URL, "pattern": "^https?://[^ ]+/$"}, [], "mirrors, in order"),
            "manual": array(string(REQUIRED), [], "steps of a person, where a licence needs them"),
            "files": array({"anyOf": [string(REQUIRED), _FILE]}, REQUIRED, least=1),
        },
        required=["title", "licence", "homepage", "files"],
    ),
}


@dataclass(frozen=True)
class SourceFile:
    """A published file.

    Attributes:
        name: path below the folder of the source.
        urls: addresses in the order of attempts; empty: a person puts the file there.
        size: bytes; None: not stated.
        sha256: hexadecimal digits, all 64 or the first 8 and more; '': not stated.
        sha1, md5: hexadecimal digits; '': not stated.
        unpack: an archive, removed after it is unpacked.
        inner: archives inside of it that are unpacked beside themselves and removed.
    """

    name: str
    urls: tuple[str, ...] = ()
    size: int | None = None
    sha256: str = ""
    sha1: str = ""
    md5: str = ""
    unpack: bool = False
    inner: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """Files that are fetched together, into the folder `<downloads>/<name>`.

    Attributes:
        manual: steps of a person, where a licence demands a registration or a form.
        known_by: YAML file of further sources that the source is known with; '': none.
    """

    name: str
    title: str
    licence: str
    homepage: str
    files: tuple[SourceFile, ...]
    manual: tuple[str, ...] = ()
    known_by: str = field(default="", compare=False)

    def folder(self, downloads: Path) -> Path:
        """Folder of the files."""
        return downloads / self.name

    def path(self, downloads: Path) -> Path:
        """Path for a key that names the source: its only file, or the folder of several."""
        folder = self.folder(downloads)
        single = len(self.files) == 1 and not self.files[0].unpack
        return folder / self.files[0].name if single else folder

    def command(self, downloads: Path) -> str:
        """Command that fetches the source into the folder of downloads."""
        return fetch_command(self.name, downloads, self.known_by)


def named_digits(file_name: str) -> str:
    """First digits of the sha256 that a publisher put into a file name; '' if there are none."""
    found = _DIGITS.fullmatch(file_name[file_name.rfind("-") :]) if "-" in file_name else None
    return found[1] if found else ""


@functools.cache
def shipped_sources() -> dict[str, Source]:
    """Sources of data sets and models that icmbench ships, by name."""
    return read_sources(DATASETS) | read_sources(MODELS)


def known_sources(more: Path | str | None = None) -> dict[str, Source]:
    """All sources by name.

    Args:
        more: a YAML file of further sources; one with the name of a shipped source replaces it.

    Raises ConfigError as `read_sources`.
    """
    if more is None:
        return dict(sorted(shipped_sources().items()))
    path = Path(more).expanduser()
    found = sorted({**shipped_sources(), **read_sources(path)}.items())
    return {name: dataclasses.replace(source, known_by=str(path)) for name, source in found}


def find_source(name: str, known: Mapping[str, Source]) -> Source:
    """A source by name; ConfigError, with the nearest name, if there is none."""
    if name not in known:
        raise ConfigError(unknown("source", name, known))
    return known[name]


def read_sources(path: Path) -> dict[str, Source]:
    """Sources of a YAML file.

    Raises ConfigError, naming the file, where it cannot be read, violates `SCHEMA`, names a file
    twice or outside of its folder, gives a file no address, or states a sha256 that differs from
    the digits of the file name.
    """
    import jsonschema  # where images are listed, this module is loaded and no file is read

    try:
        entries = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from error
    for fault in jsonschema.Draft202012Validator(SCHEMA).iter_errors(entries):
        where = ".".join(map(str, fault.absolute_path))
        raise ConfigError(f"{path}: {where or 'top level'}: {fault.message}")
    return {name: _source(name, entry, path) for name, entry in entries.items()}


def _source(name: str, entry: Mapping[str, Any], path: Path) -> Source:
    bases, manual = entry.get("bases", []), tuple(entry.get("manual", ()))
    files = tuple(_file(item, bases) for item in entry["files"])
    for reason in _faults(files, bool(manual)):
        raise ConfigError(f"{path}: {name}: {reason}")
    return Source(name, entry["title"], entry["licence"], entry["homepage"], files, manual)


def _file(item: str | Mapping[str, Any], bases: Iterable[str]) -> SourceFile:
    fields = {"name": item} if isinstance(item, str) else dict(item)
    urls = fields.pop("urls", None) or [base + fields["name"] for base in bases]
    return SourceFile(**{**fields, "urls": tuple(urls), "inner": tuple(fields.get("inner", ()))})


def _faults(files: Iterable[SourceFile], manual: bool) -> Iterable[str]:
    """Faults of the files of a source that the schema does not cover."""
    seen: set[str] = {FETCHED}
    for file in files:
        place = PurePosixPath(file.name)
        if place.is_absolute() or ".." in place.parts or str(place) != file.name:
            yield f"{file.name}: not a path below the folder of the source"
        if file.name in seen:
            yield f"{file.name}: two files have this name"
        seen.add(file.name)
        if not file.urls and not manual:
            yield f"{file.name}: neither bases nor urls nor manual steps"
        digits = named_digits(place.name)
        common = min(len(digits), len(file.sha256))
        if digits and (not common or digits[:common] != file.sha256[:common]):
            yield f"{file.name}: its name ends with {digits}, its sha256 is {file.sha256!r}"
