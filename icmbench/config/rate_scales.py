"""Rate scales: points of a codec entry that differ in the key that steers their rate alone."""

from __future__ import annotations

from collections.abc import Iterable

from icmbench.codecs.base import Value
from icmbench.codecs.specs import GROUPS, OperatingPoint

_Keys = tuple[tuple[str, Value], ...]


def rate_scales(points: Iterable[OperatingPoint]) -> list[list[str]]:
    """Codec specs of every scale of an entry, in the order of the codec's rate key.

    A scale holds two points or more; codecs without a rate key have none.
    """
    scales: dict[_Keys, list[tuple[Value, str]]] = {}
    for point in points:
        values = {name: value for group in GROUPS for name, value in point.of(group)}
        if (key := point.codec.rate_key) is not None:
            value = values.pop(key)
            scales.setdefault(tuple(values.items()), []).append((value, point.spec))
    return [[spec for _, spec in sorted(scale)] for scale in scales.values() if len(scale) > 1]
