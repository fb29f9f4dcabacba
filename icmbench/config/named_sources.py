"""Keys that take the name of a published source in place of a path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from icmbench.config.problems import Problems
from icmbench.config.sections import schema
from icmbench.config.sources import run_sources
from icmbench.core.errors import ConfigError
from icmbench.core.schema import SOURCE
from icmbench.sources.catalogue import Source
from icmbench.sources.completeness import is_complete, missing_text

IMPORTS: Final = "imports"  # read by `icmbench fetch`, not by a run
Place = tuple[str | int, ...]


def named_sources(config: Mapping[str, Any]) -> dict[Place, Source]:
    """Places in a completed configuration whose value names a source, with that source.

    A local file or folder of the same name is written `./name`. ConfigError for a wrong file
    `sources`.
    """
    known = run_sources(config)
    return {place: known[value] for place, value in _given(config, schema(), ()) if value in known}


def resolve_sources(config: dict[str, Any], problems: Problems) -> bool:
    """Replace the names of sources by paths in all that a run reads of a configuration.

    What is not fetched is a problem with the command that fetches it; False then.
    """
    downloads, complete = Path(config["downloads"]), True
    found: dict[Place, Source] = {}
    with problems.collect():
        found = named_sources(config)
    for place, source in found.items():
        if place[0] == IMPORTS:
            continue
        replace_value(config, place, str(source.path(downloads)))
        with problems.collect(".".join(map(str, place))):
            if not is_complete(source, downloads):
                complete = False
                raise ConfigError(missing_text(source, downloads, offline=config["offline"]))
    return complete


def replace_value(config: dict[str, Any], place: Place, value: Any) -> None:
    """Replace a value of a configuration."""
    holder: Any = config
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value


def _given(value: Any, rules: Mapping[str, Any], place: Place) -> Iterator[tuple[Place, str]]:
    """Places and values of the texts that may name a source."""
    if rules.get(SOURCE) and isinstance(value, str):
        yield place, value
    for key, inner in rules.get("properties", {}).items():
        if isinstance(value, Mapping) and key in value:
            yield from _given(value[key], inner, (*place, key))
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _given(item, rules.get("items", {}), (*place, number))
