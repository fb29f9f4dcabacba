"""Files of `torch.save`, read as tensors and plain values alone.

Such a file is a pickle, and a pickle can name any function to be called. Nothing of the file is
run here. Objects that training frameworks write beside the tensors (callbacks, configurations,
histories) are read as empty placeholders; a file that names others is refused with their names,
unless it is trusted (`icmbench.core.trust`): then they are placeholders, too.
"""

from __future__ import annotations

import logging
import pickle
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from icmbench.core.errors import ModelError
from icmbench.core.trust import trusted

log = logging.getLogger(__name__)

# What torch's reader raises where a byte of the file is wrong: it depends on the byte.
UNREADABLE: Final = (
    pickle.UnpicklingError, struct.error, zipfile.BadZipFile, ArithmeticError, AssertionError,
    AttributeError, EOFError, LookupError, MemoryError, OSError, RecursionError, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip
SHOWN: Final = 5  # objects that an error names
# Packages whose objects lie in published checkpoints beside the tensors.
FRAMEWORKS: Final = frozenset(
    {
        "argparse", "collections", "datetime", "lightning", "lightning_fabric", "mmengine", "numpy",
        "omegaconf", "pathlib", "pytorch_lightning", "typing",
    }
)  # fmt: skip
# Of Python itself: types, and what names a method of a class. Neither is called.
BUILTINS: Final = frozenset(
    {"bool", "bytes", "dict", "float", "getattr", "int", "list", "set", "str", "tuple"}
)


def _mapping(*_: Any) -> OrderedDict[Any, Any]:
    """An empty mapping, for a `defaultdict`."""
    return OrderedDict()


def _sequence(*_: Any) -> list[Any]:
    """An empty list, for a `deque`."""
    return []


# Containers that are filled after they are made: torch's reader fills plain ones alone.
CONTAINERS: Final[dict[str, Callable[..., Any]]] = {
    "collections.defaultdict": _mapping,
    "collections.deque": _sequence,
}


class Placeholder:
    """Stands for an object of a training framework; it takes any state and keeps none."""

    def __new__(cls, *_: Any, **__: Any) -> Placeholder:
        """An empty object, whatever the file gives it."""
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        """Take the arguments of any constructor."""

    def __setstate__(self, state: Any) -> None:
        """Drop the state."""


class UnsafePickle(ModelError):
    """A pickle names objects that are not tensors: reading it would run their code.

    Attributes:
        objects: their dotted names.
    """

    def __init__(self, path: Path, objects: tuple[str, ...]) -> None:
        self.objects = objects
        more = f" and {len(objects) - SHOWN} more" if len(objects) > SHOWN else ""
        super().__init__(
            f"{path}: holds more than tensors ({', '.join(objects[:SHOWN])}{more}), none of which "
            "was run; where it is published as .safetensors too, take that file; else `icmbench "
            f"trust {path}` prints its sha256 to compare with the published one"
        )


def load_pickle(path: Path, *, mapped: bool = False, strict: bool = False) -> Any:
    """The content of a file of `torch.save`, on the CPU.

    Args:
        mapped: keep the tensors in the file until they are used, where the format allows it.
        strict: refuse objects of the frameworks, too.

    Raises ModelError where the file is missing or damaged, UnsafePickle where it names objects that
    are neither tensors and plain values nor of `FRAMEWORKS`, and the file is not trusted.
    """
    try:
        content, replaced = _load(path, mapped, strict)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except pickle.UnpicklingError as error:
        # The text of torch's error advises to read the file without care: it is not repeated.
        raise ModelError(f"{path}: damaged or not a file of weights") from error
    except UNREADABLE as error:
        reason = f"{type(error).__name__} {error}".strip()
        raise ModelError(f"{path}: damaged or not a file of weights: {reason}") from error
    if replaced:
        log.info("%s: not read, beside its tensors: %s", path, ", ".join(replaced))
    return content


def _load(path: Path, mapped: bool, strict: bool) -> tuple[Any, list[str]]:
    """The content, and the names of the objects that placeholders stand for.

    torch names unknown objects in its error, in old files one at a time.
    """
    import torch  # seconds to load

    zipped = zipfile.is_zipfile(path)
    replaced: list[str] = []
    while True:
        try:
            known: list[Callable[..., Any] | tuple[Callable[..., Any], str]]
            known = [(CONTAINERS.get(name, Placeholder), name) for name in replaced]
            with torch.serialization.safe_globals(known):
                content = torch.load(
                    path, map_location="cpu", weights_only=True, mmap=mapped and zipped
                )
            return content, replaced
        except pickle.UnpicklingError as error:
            names = set(_objects(path, str(error))) - set(replaced)
            allowed = not strict and (all(map(_replaceable, names)) or trusted(path))
            if not (names and allowed):
                if objects := (*sorted(names), *replaced):
                    raise UnsafePickle(path, objects) from error
                raise
            replaced += sorted(names)


def _replaceable(name: str) -> bool:
    """True if a dotted name is that of an object which may be left out."""
    package, _, rest = name.partition(".")
    return package in FRAMEWORKS or (package in ("builtins", "__builtin__") and rest in BUILTINS)


def _objects(path: Path, text: str) -> tuple[str, ...]:
    """Names of the objects that a refused pickle holds; none where it is damaged."""
    import torch

    named = re.findall(r"GLOBAL ([\w.]+)", text)
    if named and zipfile.is_zipfile(path):  # older files name the first one alone
        named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    # torch leaves out the package of Python's own.
    return tuple(dict.fromkeys(name if "." in name else f"builtins.{name}" for name in named))
