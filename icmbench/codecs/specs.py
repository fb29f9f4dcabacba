"""Codec specs: one text names a codec and its operating point, in tables, files and commands.

``webp:quality=20,scale=0.5`` - keys are sorted within their group (encode, cut, decode) and
defaults are left out, so equal operating points have equal specs.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from icmbench.codecs.base import SEED, Codec, Key, Value, format_value
from icmbench.codecs.registry import codec_class
from icmbench.core.errors import ConfigError
from icmbench.core.suggest import unknown

GROUPS = ("encode", "cut", "decode")


@dataclass(frozen=True)
class OperatingPoint:
    """A codec class with the complete values of its three groups of keys."""

    codec: type[Codec]
    encode: tuple[tuple[str, Value], ...]
    cut: tuple[tuple[str, Value], ...]
    decode: tuple[tuple[str, Value], ...]

    def of(self, group: str) -> tuple[tuple[str, Value], ...]:
        """Return the keys and values of one group."""
        values: tuple[tuple[str, Value], ...] = getattr(self, group)
        return values

    @property
    def encoding(self) -> str:
        """The spec without cut and decode keys: it decides the stream."""
        return _text(self.codec, self.encode)

    @property
    def spec(self) -> str:
        """The canonical codec spec."""
        return _text(self.codec, self.encode + self.cut + self.decode)


def parse_spec(text: str) -> OperatingPoint:
    """Parse a codec spec.

    Raises ConfigError for an unknown codec or key (naming the nearest right one), a value out of
    range, a key given twice or a required key left out.
    """
    name, _, rest = text.strip().partition(":")
    return make_point(name, parse_keys(rest))


def parse_keys(text: str) -> dict[str, str]:
    """Parse ``a=1,b=2``; ConfigError where the text is not of that form."""
    given: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = item.partition("=")
        if not equals or not key or not value:
            raise ConfigError(f"{text!r}: expected key=value, got {item!r}")
        if key in given:
            raise ConfigError(f"{text!r}: {key} is given twice")
        given[key] = value
    return given


def make_point(
    name: str, given: Mapping[str, object], groups: Sequence[str] = GROUPS
) -> OperatingPoint:
    """Make the operating point of codec `name` at the given keys; errors as `parse_spec`.

    Groups outside `groups` stay empty: decoding a stream needs no encode keys.
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
    point = OperatingPoint(codec, values["encode"], values["cut"], values["decode"])
    decode = dict(point.decode)
    if decode.get(SEED) and not codec.stochastic(**decode):
        raise ConfigError(f"{point.spec}: {SEED} has no effect, this decoder samples no noise")
    return point


def expand_points(name: str, grids: Sequence[Mapping[str, Any]]) -> list[OperatingPoint]:
    """Expand the grids of a codec entry; each is a product of lists of values.

    ``[{"quality": [10, 50]}, {"quality": [10], "scale": [0.5, 0.25]}]`` are four operating points.

    Raises ConfigError that names every wrong key and value, an empty list of values, a point that
    is listed twice, and a codec without any point.
    """
    codec_class(name)
    points: list[OperatingPoint] = []
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
    specs = [point.spec for point in points]
    wrong += [
        f"codec {name}: the point {spec} is listed twice"
        for spec in dict.fromkeys(specs)
        if specs.count(spec) > 1
    ]
    if not (points or wrong):
        wrong.append(f"codec {name}: it has no point")
    if wrong:
        raise ConfigError("; ".join(dict.fromkeys(wrong)))
    return points


def slug(text: str) -> str:
    """Turn a codec spec into a path: ``webp-quality20-scale0.5``."""
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
