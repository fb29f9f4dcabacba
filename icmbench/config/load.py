"""Completion of a configuration: schema check, defaults, null entries, `~` in folders.

All problems are collected and raised together, so that one attempt shows them all.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema

from icmbench.config.problems import Problems
from icmbench.config.sections import moved_keys, schema
from icmbench.core.suggest import unknown

# Keys of folders; a leading ~ is expanded here, because Snakemake does not expand it.
FOLDERS = ("results", "downloads", "sources", "models", "weights")
# Sections of named entries. Snakemake merges --config into them; a null entry removes one.
ENTRIES = ("datasets", "codecs", "tasks")


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with defaults, checked against the schema.

    Raises ConfigError that lists every problem with its key path and, for a mistyped key, the
    nearest right one.
    """
    problems = Problems()
    filled = complete_or_note(config, problems)
    problems.raise_all()
    return filled


def complete_or_note(config: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """Complete a configuration as `complete` does, but add to `problems` instead of raising.

    Values that the schema refuses are removed or replaced by their defaults, so that the checks
    can go on.
    """
    rules = schema()
    filled: dict[str, Any] = _without_other_keys(copy.deepcopy(dict(config)), "", problems)
    for section in ENTRIES:
        if isinstance(filled.get(section), dict):
            filled[section] = {k: v for k, v in filled[section].items() if v is not None}
    _fill(filled, rules)
    checker = jsonschema.Draft202012Validator(rules)
    errors = sorted(checker.iter_errors(filled), key=lambda error: list(map(str, error.path)))
    for error in errors:
        problems.add(_explain(error))
    for error in errors:
        _prune(filled, error)
    for path in list(_with_nul(filled)):
        where = ".".join(map(str, path)).replace("\0", "\\0")
        problems.add(
            f"{where}: the text holds a NUL character, which no path or name may contain: remove it"
        )
        _take_out(filled, path)
    for section in ("datasets", "codecs"):
        filled.setdefault(section, {})
    _fill(filled, rules)
    _expand(filled, problems)
    return filled


def removed_entries(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Section -> names of its null entries, which are removed from the run."""
    return {
        section: [name for name, entry in config[section].items() if entry is None]
        for section in ENTRIES
        if isinstance(config.get(section), Mapping)
    }


def _without_other_keys(value: Any, where: str, problems: Problems) -> Any:
    """Remove mapping keys that are not strings; each is a problem."""
    if isinstance(value, Mapping):
        kept = {}
        for key, inner in value.items():
            if isinstance(key, str):
                kept[key] = _without_other_keys(inner, f"{where}.{key}" if where else key, problems)
            else:
                kind = type(key).__name__
                problems.add(
                    f"{where or 'top level'}: the key {key!r} is of type {kind}; names are text: "
                    "quote it, as '001' or 'on'"
                )
        return kept
    if isinstance(value, list):
        return [
            _without_other_keys(inner, f"{where}.{n}", problems) for n, inner in enumerate(value)
        ]
    return value


def _fill(value: dict[str, Any], rules: Mapping[str, Any]) -> None:
    for key, rule in rules.get("properties", {}).items():
        if "default" in rule:
            value.setdefault(key, copy.deepcopy(rule["default"]))
        if isinstance(value.get(key), dict):
            _fill(value[key], rule)


def _explain(error: jsonschema.ValidationError) -> str:
    where = ".".join(map(str, error.absolute_path)) or "top level"
    if error.validator == "additionalProperties" and isinstance(error.schema, Mapping):
        known = error.schema.get("properties", {})
        moved = moved_keys() if where == "training" else {}
        wrong = [key for key in error.instance if key not in known]
        return "; ".join(
            f"training.{key} is now {moved[key]}: move it there"
            if key in moved
            else f"{where}: {unknown('key', key, known)}"
            for key in wrong
        )
    text = f"{where}: {error.message}"
    wants_text = error.validator == "type" and "string" in error.validator_value
    if wants_text and isinstance(error.instance, bool | int | float):
        text += ": quote it, as '001' or 'on'"
    return text


def _prune(filled: dict[str, Any], error: jsonschema.ValidationError) -> None:
    """Remove the subject of an error: the key, the named entry, or the section."""
    path = list(error.absolute_path)
    holder: Any = filled
    for key in path:
        try:
            holder = holder[key]
        except (KeyError, IndexError, TypeError):
            return  # removed by an earlier error
    if error.validator == "additionalProperties" and isinstance(holder, dict):
        known = error.schema.get("properties", {}) if isinstance(error.schema, Mapping) else {}
        for key in [key for key in holder if key not in known]:
            del holder[key]
    elif "propertyNames" in error.absolute_schema_path and isinstance(holder, dict):
        holder.pop(error.instance, None)
    else:
        _take_out(filled, path)


def _take_out(filled: dict[str, Any], path: Sequence[str | int]) -> None:
    """Remove the named entry, or else the section, that contains a key path."""
    if path and path[0] in ENTRIES and len(path) > 1:
        filled.get(str(path[0]), {}).pop(path[1], None)
    elif path:
        filled.pop(str(path[0]), None)


def _with_nul(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Key paths of strings with a NUL character."""
    if isinstance(value, str) and "\0" in value:
        yield path
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _with_nul(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _with_nul(inner, (*path, number))


def _expand(filled: dict[str, Any], problems: Problems) -> None:
    for key in FOLDERS:
        value = filled[key]
        if isinstance(value, str) and value.startswith("~"):
            try:
                filled[key] = str(Path(value).expanduser())
            except RuntimeError:
                problems.add(f"{key}: {value}: there is no such user")
