"""Options of the entries of a configuration: types, defaults and checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from icmbench.core.errors import ConfigError
from icmbench.core.suggest import unknown


@dataclass(frozen=True)
class Option:
    """One option of a data set's configuration entry: its type, default and meaning."""

    kind: type[Any]
    default: Any = None
    required: bool = False
    low: float | None = None
    help: str = ""

    def check(self, what: str, value: Any) -> None:
        """ConfigError where `value` is of another type, below `low` or holds a NUL character."""
        kinds: tuple[type, ...] = (int, float) if self.kind is float else (self.kind,)
        right = isinstance(value, kinds) and not isinstance(value, bool)
        if not right:
            quote = ": quote it" if self.kind is str and not isinstance(value, list | dict) else ""
            raise ConfigError(f"{what}={value!r} is not of type {self.kind.__name__}{quote}")
        if isinstance(value, str) and "\0" in value:
            raise ConfigError(
                f"{what}={value!r} holds a NUL character, which no path may: remove it"
            )
        if self.low is not None and value < self.low:
            raise ConfigError(f"{what}={value!r} is below {self.low:g}")


def option_values(
    what: str, options: Mapping[str, Option], entry: Mapping[str, Any]
) -> dict[str, Any]:
    """The value of every option of `what`, given in a configuration entry or the default.

    Raises ConfigError for an unknown, missing or wrong option.
    """
    for key in entry:
        if key not in options:
            raise ConfigError(unknown(f"option of {what}", key, options))
    values = {}
    for key, option in options.items():
        value = entry.get(key, option.default)
        if value is None and option.required:
            raise ConfigError(f"{what} needs the option {key!r}: {option.help}")
        if value is not None or option.default is not None:  # null is no default
            option.check(f"{what}: {key}", value)
        values[key] = value
    return values
