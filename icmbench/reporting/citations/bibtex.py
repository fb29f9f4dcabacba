"""BibTeX of a run: its codecs, metrics, data sets and task models, from its configuration.

`citations.bib` has the entries, `used_by.yaml` says who uses which.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).parent
_ENTRY: Final = re.compile(r"^@\w+\{([^,\s]+),\n.*?^\}$", re.M | re.S)
NONE: Final = "none"  # in place of keys: there is no publication
BUNDLED: Final = "bundled"


@dataclass(frozen=True)
class Use:
    """Something that a run used; `keys` is None where no reference of it is known."""

    what: str
    keys: tuple[str, ...] | None


@functools.cache
def entries() -> dict[str, str]:
    """BibTeX entries by key, in the order of the file."""
    text = (FOLDER / "citations.bib").read_text(encoding="utf-8")
    return {found[1]: found[0] for found in _ENTRY.finditer(text)}


@functools.cache
def used_by() -> Mapping[str, Any]:
    """Sections of `used_by.yaml`: keys, or NONE, by name."""
    text = (FOLDER / "used_by.yaml").read_text(encoding="utf-8")
    known: Mapping[str, Any] = yaml.safe_load(text)
    return known


def uses(config: Mapping[str, Any], unavailable: Mapping[str, str]) -> list[Use]:
    """Everything that a run of a complete configuration used, each thing once.

    Args:
        unavailable: reasons by name of codec entries and metrics that could not run.
    """
    return list(dict.fromkeys(_uses(config, unavailable)))


def _uses(config: Mapping[str, Any], unavailable: Mapping[str, str]) -> Iterator[Use]:
    known = used_by()
    yield Use("icmbench", tuple(known["run"]))
    if config["anchors"]:
        yield Use("BD-rate", tuple(known["bd_rate"]))
    for name, entry in config["codecs"].items():
        if name not in unavailable:
            codec = entry.get("codec", name)
            own = codec not in known["codecs"]  # such as `command`: the entry's name tells more
            yield Use(f"codec {name if own else codec}", _keys("codecs", codec))
    for metric in [*config["metrics"], *(["fid"] if config["distribution"]["datasets"] else [])]:
        if metric not in unavailable:
            yield Use(f"metric {metric}", _keys("metrics", metric))
    for name, entry in config["datasets"].items():
        keys = _keys("datasets", entry.get("type", name))
        yield Use(f"data set {name}", keys or _keys("named", name) or keys)
    for name, entry in config["tasks"].items():
        kind = entry.get("type", name)
        if entry.get("checkpoint", BUNDLED) == BUNDLED and kind in known[BUNDLED]:
            more = _keys(BUNDLED, kind) or ()
            yield Use(f"task {kind}, bundled model", (*(_keys("tasks", kind) or ()), *more))
        else:
            yield Use(f"task {kind}", _keys("tasks", kind))


def _keys(section: str, name: str) -> tuple[str, ...] | None:
    found = used_by()[section].get(name)
    return () if found == NONE else None if found is None else tuple(found)


def bibtex(found: list[Use]) -> str:
    """The entries of what was used, after comments that say by what."""
    lines = [f"% {use.what}: {', '.join(use.keys)}" for use in found if use.keys]
    if none := [use.what for use in found if use.keys == ()]:
        lines.append(f"% without a publication: {', '.join(none)}")
    if unknown := [use.what for use in found if use.keys is None]:
        lines.append(f"% no reference is known, cite as their authors ask: {', '.join(unknown)}")
    keys = {key for use in found for key in use.keys or ()}
    texts = [text for key, text in entries().items() if key in keys]
    return "\n".join(lines) + "\n\n" + "\n\n".join(texts) + "\n"
