"""Hyper-parameters of networks: read strictly from weight files, written as plain values."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self, get_args, get_origin, get_type_hints

from icmbench.core.errors import ModelError

_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@dataclass(frozen=True)
class NetworkSettings:
    """Base of a network's hyper-parameters.

    A field is a whole number, a number, a truth value, text, a tuple of one of these, or the
    settings of an inner network. A subclass checks ranges in `__post_init__` (ValueError).
    """

    # Fields that files of earlier versions lack; their defaults are what those networks are.
    added: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def read(cls, values: object, where: str = "network") -> Self:
        """The settings of plain values, as `values` gives them.

        Raises ModelError naming the key that is unknown, missing or of another type.
        """
        if not isinstance(values, Mapping):
            raise ModelError(f"{where} is {values!r}, not names with values")
        names = [field.name for field in fields(cls)]
        values = {f.name: f.default for f in fields(cls) if f.name in cls.added} | dict(values)
        for name in [*names, *values]:
            if name not in values:
                raise ModelError(f"{where}.{name} is missing")
            if name not in names:
                raise ModelError(f"{where}.{name} is unknown: {where} has {', '.join(names)}")
        hints = get_type_hints(cls)
        return cls(**{name: _read(f"{where}.{name}", values[name], hints[name]) for name in names})

    def values(self) -> dict[str, Any]:
        """The settings as plain values."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


def _read(where: str, value: object, kind: Any) -> Any:
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise ModelError(f"{where} is {value!r}, not a list")
        inner = get_args(kind)[0]
        return tuple(_read(f"{where}.{place}", v, inner) for place, v in enumerate(value))
    if issubclass(kind, NetworkSettings):
        return kind.read(value, where)
    if type(value) is int and kind is float and abs(value) <= sys.float_info.max:
        return float(value)
    if type(value) is not kind:
        raise ModelError(f"{where} is {value!r}, not {_KINDS[kind]}")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, NetworkSettings):
        return value.values()
    return list(value) if isinstance(value, tuple) else value
