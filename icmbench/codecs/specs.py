"""Codec strings: one text names a codec and its point, in tables, files and on the command line.

``webp:quality=20,scale=0.5`` - keys are sorted within their group (encode, cut, decode) and
defaults are left out, so that equal points have equal strings.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from icmbench.codecs.base import Codec, Key, Value, format_value
from icmbench.codecs.registry import codec_class
from icmbench.core.errors import ConfigError
from icmbench.core.suggest import unknown

GROUPS = ("encode", "cut", "decode")


@dataclass(frozen=True)
class Point:
    """A codec at one point: its class and the complete values of its three groups of keys."""

    codec: type[Codec]
    encode: tuple[tuple[str, Value], ...]
    cut: tuple[tuple[str, Value], ...]
    decode: tuple[tuple[str, Value], ...]

    def of(self, group: str) -> tuple[tuple[str, Value], ...]:
        """Keys and values of one of the three groups."""
        values: tuple[tuple[str, Value], ...] = getattr(self, group)
        return values

    @property
    def encoding(self) -> str:
        """The encode part of the string: what decides the stream."""
        return _text(self.codec, self.encode)

    @property
    def string(self) -> str:
        """The canonical codec string."""
        return _text(self.codec, self.encode + self.cut + self.decode)


def parse_string(text: str) -> Point:
    """The point that a codec string names.

    Raises ConfigError for an unknown codec or key (naming the nearest right one), a value out of
    range, a key given twice or a required key left out.
    """
    name, _, rest = text.strip().partition(":")
    return make_point(name, parse_keys(rest))


def parse_keys(text: str) -> dict[str, str]:
    """``a=1,b=2`` as a dictionary; ConfigError where it is not of that form."""
    given: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = item.partition("=")
        if not equals or not key or not value:
            raise ConfigError(f"{text!r}: expected key=value, got {item!r}")
        if key in given:
            raise ConfigError(f"{text!r}: {key} is given twice")
        given[key] = value
    return given


def make_point(name: str, given: Mapping[str, object], groups: Sequence[str] = GROUPS) -> Point:
    """The point of codec `name` at the given keys; see `parse_string` for the errors.

    Groups that are not asked for stay empty, so that a stream can be decoded without saying
    again how it was encoded.
    """
    codec = codec_class(name)
    known = [key for group in GROUPS for key in getattr(codec, f"{group}_keys")]
    for key in given:
        if key not in known:
            raise ConfigError(unknown(f"key of codec {name}", key, known))
    values = {
        group: _complete(name, getattr(codec, f"{group}_keys"), given) if group in groups else ()
        for group in GROUPS
    }
    return Point(codec, values["encode"], values["cut"], values["decode"])


def expand_points(name: str, grids: Sequence[Mapping[str, Any]]) -> list[Point]:
    """The points of a codec's configuration entry: each grid is a product of lists of values.

    ``[{"quality": [10, 50]}, {"quality": [10], "scale": [0.5, 0.25]}]`` are four points.

    Raises ConfigError that names every wrong key and value, an empty list of values, a point that
    is listed twice, and a codec without any point.
    """
    codec_class(name)
    points: list[Point] = []
    wrong: list[str] = []
    for grid in grids:
        axes = [value if isinstance(value, list) else [value] for value in grid.values()]
        for key, axis in zip(grid, axes, strict=True):
            if not axis:
                wrong.append(f"codec {name}: the list of values of {key} is empty")
        for values in itertools.product(*axes):
            try:
                points.append(make_point(name, dict(zip(grid, values, strict=True))))
            except ConfigError as error:
                wrong.append(str(error))
    strings = [point.string for point in points]
    wrong += [
        f"codec {name}: the point {string} is listed twice"
        for string in dict.fromkeys(strings)
        if strings.count(string) > 1
    ]
    if not (points or wrong):
        wrong.append(f"codec {name}: it has no point")
    if wrong:
        raise ConfigError("; ".join(dict.fromkeys(wrong)))
    return points


def slug(text: str) -> str:
    """A codec string as a path: ``webp-quality20-scale0.5``."""
    return text.replace(":", "-").replace(",", "-").replace("=", "")


def _complete(
    name: str, keys: Mapping[str, Key], given: Mapping[str, object]
) -> tuple[tuple[str, Value], ...]:
    values = []
    for key, spec in sorted(keys.items()):
        if key in given:
            values.append((key, spec.convert(f"{name}:{key}", given[key])))
        elif spec.default is None:
            raise ConfigError(f"codec {name} needs {key}: {spec.legal()}")
        else:
            values.append((key, spec.default))
    return tuple(values)


def _text(codec: type[Codec], values: Sequence[tuple[str, Value]]) -> str:
    keys = {**codec.encode_keys, **codec.cut_keys, **codec.decode_keys}
    shown = [f"{k}={format_value(v)}" for k, v in values if v != keys[k].default]
    return codec.name + (":" + ",".join(shown) if shown else "")
