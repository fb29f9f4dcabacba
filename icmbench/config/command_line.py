"""Values of `--config` with their types.

Snakemake reads a value such as `{scenes: {test: 3}, photos: null}` as YAML in which every scalar is
a text. A configuration file would give a number and null, and so does the command line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml


def with_given_values(config: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`config` in which the values that were given on the command line have YAML's types.

    Args:
        config: of the run, into which Snakemake has merged `given`.
        given: Snakemake's reading of `--config`.
    """
    return merged(config, {key: _typed(value) for key, value in given.items()})


def _typed(value: Any) -> Any:
    """A value whose texts are numbers, truth values and null where YAML takes them for such.

    A text in quotes of its own, `"'2024'"`, stays a text, without them; so does the empty text.
    """
    if isinstance(value, Mapping):
        return {key: _typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_typed(inner) for inner in value]
    if not isinstance(value, str) or not value:
        return value
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    try:
        found = yaml.safe_load(value)
    # A text with signs of YAML's own, such as `{image}.png`, or nearly a date or a number.
    except (yaml.YAMLError, ValueError):
        return value
    return found if found is None or isinstance(found, bool | int | float) else value


def merged(config: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration in which another one replaces and adds values, nested ones too."""
    out = dict(config)
    for key, value in over.items():
        old = out.get(key)
        nested = isinstance(old, Mapping) and isinstance(value, Mapping)
        out[key] = merged(old, value) if nested else value  # type: ignore[arg-type]
    return out
