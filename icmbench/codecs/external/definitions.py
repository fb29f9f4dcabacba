"""Definitions of external codecs: shipped ones, and those of a configuration.

    codecs:
      vtm: {points: [{qp: [22, 37]}]}                    # a shipped program
      mine: {codec: command, encode: …, decode: …, points: …}
      theirs: {codec: folder, path: /their/results, points: …}
      vtm-fast: {codec: vtm, encode: …, points: …}       # a shipped one with changes

A definition is a mapping of JSON types: `kind`, `name` of the codec, and the keys of
`definition_keys`. It is a parameter of every job that runs the codec.
"""

from __future__ import annotations

import copy
import functools
import importlib.resources
import re
from collections.abc import Mapping
from typing import Any

import jsonschema

from icmbench.codecs.external.definition_keys import ENTRY, KINDS, TEXTS
from icmbench.core.errors import ConfigError
from icmbench.core.registry import NAME
from icmbench.core.suggest import unknown

Definition = dict[str, Any]


def own_keys(entry: Mapping[str, Any]) -> Definition:
    """The keys of an entry that are part of a definition."""
    return {key: value for key, value in entry.items() if key not in ("codec", "points")}


def definition_of(entries: Mapping[str, Mapping[str, Any]], name: str) -> Definition | None:
    """The definition behind a codec entry, complete; None where its codec has none.

    Args:
        entries: the section `codecs` of a configuration.

    Raises ConfigError for a key that its kind does not have or lacks, and for a wrong value.
    """
    entry = entries[name]
    codec = entry.get("codec", name)
    own = own_keys(entry)
    if codec in KINDS:
        return _complete({"kind": codec, "name": name, **own})
    others = {other: found for other, found in entries.items() if other != name}
    base = definition_of(others, codec) if codec in others else None
    if base is None or base["name"] != codec:
        base = shipped(codec)
    if base is None or not own:
        return base
    paths = {**base.get("paths", {}), **own.get("paths", {})}
    return _complete({**base, **own, "name": name, **({"paths": paths} if paths else {})})


def without_texts(definition: Mapping[str, Any]) -> Definition:
    """A definition without what is only printed: no result depends on it."""
    found = {**definition, **{key: type(definition[key])() for key in TEXTS if key in definition}}
    if "keys" in found:
        keys = found["keys"].items()
        found["keys"] = {
            name: {part: value for part, value in rule.items() if part != "help"}
            if isinstance(rule, Mapping)
            else rule
            for name, rule in keys
        }
    return found


@functools.cache
def shipped_names() -> tuple[str, ...]:
    """Names of the shipped definitions, sorted."""
    files = importlib.resources.files(__package__) / "programs"
    return tuple(sorted(f.name.removesuffix(".yaml") for f in files.iterdir() if _is_yaml(f.name)))


def shipped(name: str) -> Definition | None:
    """The shipped definition of a name; None where there is none."""
    return copy.deepcopy(_shipped(name)) if name in shipped_names() else None


@functools.cache
def _shipped(name: str) -> Definition:
    import yaml

    file = importlib.resources.files(__package__) / "programs" / f"{name}.yaml"
    return _complete({"kind": "command", "name": name, **yaml.safe_load(file.read_text("utf-8"))})


def _is_yaml(name: str) -> bool:
    return name.endswith(".yaml")


def _complete(definition: Mapping[str, Any]) -> Definition:
    """A definition with the defaults of its kind, checked."""
    rules, name = KINDS[definition["kind"]], definition["name"]
    if not re.fullmatch(NAME, name):
        raise ConfigError(
            f"{name}: the name stands in specs: lower-case letters, digits, single hyphens between"
        )
    given = {key: value for key, value in definition.items() if key not in ("kind", "name")}
    for key in given:
        if key not in rules["properties"]:
            raise ConfigError(unknown(f"key of `codec: {definition['kind']}`", key, ENTRY))
    errors = jsonschema.Draft202012Validator(rules).iter_errors(given)
    if (error := jsonschema.exceptions.best_match(errors)) is not None:
        where = ".".join(map(str, error.absolute_path))
        raise ConfigError(f"{where}: {error.message}" if where else error.message)
    return {"kind": definition["kind"], "name": name, **_filled(given, rules)}


def _filled(given: Mapping[str, Any], rules: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for key, rule in rules["properties"].items():
        value = given.get(key, copy.deepcopy(rule.get("default")))
        if isinstance(value, dict) and "properties" in rule:
            value = _filled(value, rule)
        if value is not None:
            found[key] = value
    return found
