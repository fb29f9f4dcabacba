"""Rate scales: points of a codec entry that differ in the key that steers their rate alone."""

from __future__ import annotations

from collections.abc import Iterable

from icmbench.codecs.base import Codec, Value
from icmbench.codecs.specs import GROUPS, OperatingPoint

_Keys = tuple[tuple[str, Value], ...]


def rate_scales(points: Iterable[OperatingPoint]) -> list[list[str]]:
    """Codec specs of every scale of an entry, in the order of the codec's rate key.

    A scale holds two points or more. A codec without a rate key whose only required key is a
    number is steered by that one; any other has no scale.
    """
    scales: dict[_Keys, list[tuple[Value, str]]] = {}
    for point in points:
        values = {name: value for group in GROUPS for name, value in point.of(group)}
        key = point.codec.rate_key or _required(point.codec)
        if key in values:
            value = values.pop(key)
            scales.setdefault(tuple(values.items()), []).append((value, point.spec))
    return [[spec for _, spec in sorted(scale)] for scale in scales.values() if len(scale) > 1]


def _required(codec: type[Codec]) -> str:
    required = {name: key for name, key in codec.encode_keys.items() if key.default is None}
    numbers = [name for name, key in required.items() if key.kind is not str]
    return numbers[0] if len(required) == len(numbers) == 1 else ""
