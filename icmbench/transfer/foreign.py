"""Allow-list of settings and members that are accepted from a bundle of another machine.

A bundle is not trusted: its digests only prove that it is complete. It may name the streams to
decode, and the codecs and points that decode them. It cannot set the folder of the results, what is
trusted, or any other key of a run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final

from icmbench.core.errors import MeasurementError
from icmbench.evaluation.units import ALL, KEY
from icmbench.transfer.results import chosen_units

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_MOST_SHARDS: Final = 4096


def _whole(value: Any, most: int) -> bool:
    return type(value) is int and 1 <= value <= most


def _number(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < float("inf")


def _named(value: Any, entry: Callable[[Any], bool]) -> bool:
    return isinstance(value, Mapping) and all(
        _NAME.fullmatch(name) and entry(inner) for name, inner in value.items()
    )


def _scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _point(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        _scalar(inner) or (isinstance(inner, list) and all(map(_scalar, inner)))
        for inner in value.values()
    )


def _codec(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and {"points"} <= set(value) <= {"codec", "points"}
        and isinstance(value.get("codec", ""), str)
        and isinstance(value["points"], list)
        and all(map(_point, value["points"]))
    )


def _limits(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        key == "seconds_per_image" and _number(inner) for key, inner in value.items()
    )


def _dataset(value: Any) -> bool:
    """True for an entry without options, which could name any file: at most its codec entries."""
    if not isinstance(value, Mapping) or not set(value) <= {KEY}:
        return False
    chosen = value.get(KEY, {})
    if isinstance(chosen, list):
        return all(isinstance(name, str) for name in chosen)
    return _named(chosen, lambda g: g == ALL or (isinstance(g, list) and all(map(_point, g))))


# Key of a configuration -> whether a value from elsewhere is one.
_LEGAL: Final[Mapping[str, Callable[[Any], bool]]] = {
    "shards": lambda value: _whole(value, _MOST_SHARDS),
    "device": lambda value: value in ("auto", "cpu", "cuda"),
    "threads": lambda value: _whole(value, _MOST_SHARDS),
    "limits": _limits,
    "datasets": lambda value: _named(value, _dataset),
    "codecs": lambda value: _named(value, _codec),
}


def decoding_config(file: Path, about: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The configuration that decodes an unpacked bundle: only what `packed.smk` needs.

    Args:
        file: the bundle, for messages.
        about: its pack.json.
        folder: where it is unpacked.

    Raises MeasurementError naming the file and the key where it sets anything else.
    """
    found = about.get("config")
    if not isinstance(found, Mapping):
        raise MeasurementError(f"{file}: its pack.json has no configuration")
    for key, value in found.items():
        if key not in _LEGAL:
            known = ", ".join(_LEGAL)
            raise MeasurementError(
                f"{file}: its pack.json sets {key!r}; a file of `icmbench pack` sets only {known}"
            )
        if not _LEGAL[key](value):
            raise MeasurementError(f"{file}: its pack.json has no legal value of {key!r}")
    if missing := sorted(set(_LEGAL) - set(found)):
        raise MeasurementError(f"{file}: its pack.json does not set {missing[0]!r}")
    # The last words are ours, whatever stands in `found`.
    return {**found, "packed": True, "results": str(folder)}


def check_members(file: Path, config: Mapping[str, Any], members: Collection[str]) -> None:
    """Check that a bundle holds the streams of its configuration, models and nothing else.

    Raises MeasurementError naming the file and the member.
    """
    units = chosen_units(config)
    streams = {unit.member("streams", suffix) for unit in units for suffix in (".zip", ".csv")}
    if missing := sorted(streams - set(members)):
        raise MeasurementError(f"{file}: the member {missing[0]!r} is missing")
    for name in sorted(set(members) - streams):
        folder, _, rest = name.partition("/")
        if folder != "models" or not rest or any(part.startswith(".") for part in rest.split("/")):
            raise MeasurementError(f"{file}: the member {name!r} is neither a stream nor a model")
