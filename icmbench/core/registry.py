"""Discovery of codecs, data sets and tasks: every module of their packages, and entry points.

Adding one is therefore one new file (or one installed package), never an edit of a list.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import re
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, TypeVar

from icmbench.core.errors import ConfigError

T = TypeVar("T")

INSIDE = "codec"  # the module of a package that holds its class
NAME = "[a-z0-9]+(-[a-z0-9]+)*"  # it stands in codec specs and in paths


def discover(
    packages: Sequence[ModuleType], base: type[T], group: str, attribute: str
) -> dict[str, type[T]]:
    """All concrete subclasses of `base` in modules of packages and in the entry points of `group`.

    Of a package inside, such as `icmbench.codecs.mpd`, the module `codec` is looked into.

    Keyed by the class attribute `attribute`, sorted. ConfigError where two claim one name or an
    entry point does not load: a codec that silently goes missing would change the tables.
    """
    found: dict[str, type[T]] = {}
    for name in _module_names(packages):
        module = importlib.import_module(name)
        for _, value in inspect.getmembers(module, inspect.isclass):
            if value.__module__ == module.__name__ and _concrete(value, base):
                _add(found, value, attribute)
    for entry in sorted(importlib.metadata.entry_points(group=group), key=lambda e: e.name):
        try:
            value = entry.load()
        except Exception as error:
            raise ConfigError(f"entry point {entry.value} of group {group}: {error}") from error
        if not (inspect.isclass(value) and _concrete(value, base)):
            raise ConfigError(f"entry point {entry.value} is not a {base.__name__}")
        _add(found, value, attribute)
    return dict(sorted(found.items()))


def _module_names(packages: Sequence[ModuleType]) -> Iterator[str]:
    for package in packages:
        for info in pkgutil.iter_modules(package.__path__):
            name = f"{package.__name__}.{info.name}"
            if not info.ispkg:
                yield name
            elif importlib.util.find_spec(f"{name}.{INSIDE}"):
                yield f"{name}.{INSIDE}"


def _concrete(value: type[Any], base: type[Any]) -> bool:
    return issubclass(value, base) and not inspect.isabstract(value)


def _add(found: dict[str, type[Any]], value: type[Any], attribute: str) -> None:
    name = getattr(value, attribute)
    if not re.fullmatch(NAME, name):
        raise ConfigError(f"{value.__module__}: {name!r} is not a name of the form {NAME}")
    if name in found:
        both = f"{found[name].__module__} and {value.__module__}"
        raise ConfigError(f"two classes are named {name!r}: {both}")
    found[name] = value
