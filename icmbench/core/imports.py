"""Importing a package without the large ones that it would load where they are installed."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType


@contextlib.contextmanager
def as_if_missing(names: Sequence[str]) -> Iterator[None]:
    """Importing one of these packages fails as if it were not there.

    Afterwards all is as before. What was imported meanwhile goes on without them for as long as the
    process lives: only for parts of a package that have no use for them.
    """
    before = {name: sys.modules[name] for name in names if name in sys.modules}
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # None: Python's own way
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update(before)


@contextlib.contextmanager
def without_module(name: str, *contents: str) -> Iterator[None]:
    """Importing `contents` from the module `name` gives empty classes; the module is left alone.

    For a package that imports its own module whether it is used or not. Afterwards as after
    `as_if_missing`; a module that was imported before serves as it is.
    """
    if name in sys.modules:
        yield
        return
    stand_in = sys.modules[name] = ModuleType(name, "Empty.")
    vars(stand_in).update({each: type(each, (), {}) for each in contents})
    try:
        yield
    finally:
        del sys.modules[name]
