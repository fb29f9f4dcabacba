"""Keys of a configuration as data: JSON Schema with the default and the meaning of every key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

Schema = dict[str, Any]
REQUIRED: Final = object()  # in place of a default: the key must be given
NAMES: Final = {"pattern": "^[A-Za-z0-9][A-Za-z0-9_-]*$"}  # of entries: they stand in paths
SOURCE: Final = "x-source"  # marks keys that take the name of a source in place of a path
_LIMITS: Final = {
    "low": "minimum",
    "high": "maximum",
    "above": "exclusiveMinimum",
    "below": "exclusiveMaximum",
    "multiple": "multipleOf",
    "least": "minItems",
    "most": "maxItems",
    "unique": "uniqueItems",
}


def integer(default: Any, text: str = "", **limits: Any) -> Schema:
    """A whole number; limits: low, high, multiple."""
    return _rules({"type": "integer"}, default, text, limits)


def number(default: Any, text: str = "", **limits: Any) -> Schema:
    """A number; limits: low, high, above, below (the last two exclusive)."""
    return _rules({"type": "number"}, default, text, limits)


def flag(default: bool, text: str = "") -> Schema:
    """True or false."""
    return _rules({"type": "boolean"}, default, text, {})


def string(default: Any, text: str = "") -> Schema:
    """A text; one that is empty is an error."""
    return _rules({"type": "string", "minLength": 1}, default, text, {})


def optional(text: str) -> Schema:
    """A text or null, which is the default."""
    return _rules({"type": ["string", "null"]}, None, text, {})


def local_or_source(text: str) -> Schema:
    """A path, the name of a source (resolved by `config.named_sources`), or null, the default."""
    return optional(
        f"{text}; a path (a local name with ./), or the name of a source of `icmbench fetch`"
    ) | {SOURCE: True}


def choice(values: list[str], text: str = "") -> Schema:
    """One of some words; the first is the default."""
    return _rules({"enum": values}, values[0], text, {})


def array(items: Schema, default: Any, text: str = "", **limits: Any) -> Schema:
    """A list; limits: least, most, unique."""
    return _rules({"type": "array", "items": items}, default, text, limits)


def section(keys: Mapping[str, Schema], text: str = "", required: Sequence[str] = ()) -> Schema:
    """A mapping with these keys and no others."""
    more: Schema = {"required": list(required)} if required else {"default": {}}
    rules = {"type": "object", "additionalProperties": False, **more, "properties": dict(keys)}
    return rules | ({"description": text} if text else {})


def entries(entry: Schema, default: Any, text: str = "", **limits: Any) -> Schema:
    """A mapping from names to entries of one form."""
    rules = {"type": "object", "propertyNames": NAMES, "additionalProperties": entry}
    return _rules(rules, default, text, {}) | limits


def _rules(rules: Schema, default: Any, text: str, limits: Mapping[str, Any]) -> Schema:
    found = rules | {_LIMITS[name]: value for name, value in limits.items()}
    found |= {} if default is REQUIRED else {"default": default}
    return found | ({"description": text} if text else {})
