"""Files of `torch.save`, read as tensors and plain values alone.

Such a file is a pickle, and a pickle can name any function to be called. Nothing of the file is
run here: what holds more than tensors is refused with the names of the objects.
"""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
from pathlib import Path
from typing import Any, Final

from icmbench.core.errors import ModelError

# What torch's reader raises where a byte of the file is wrong: it depends on the byte.
UNREADABLE: Final = (
    pickle.UnpicklingError, struct.error, zipfile.BadZipFile, ArithmeticError, AssertionError,
    AttributeError, EOFError, LookupError, MemoryError, OSError, RecursionError, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip
SHOWN: Final = 5  # objects that an error names


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
            "was run; where it is published as .safetensors too, take that file, or, in the "
            "environment that wrote it and if its source is trusted, save its tensors alone: "
            "torch.save(content['state_dict'], 'tensors.pth')"
        )


def load_pickle(path: Path, *, mapped: bool = False) -> Any:
    """The content of a file of `torch.save`, on the CPU.

    Args:
        mapped: keep the tensors in the file until they are used, where the format allows it.

    Raises ModelError where the file is missing or damaged, UnsafePickle where it holds more than
    tensors and plain values.
    """
    import torch  # seconds to load

    try:
        zipped = zipfile.is_zipfile(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and zipped)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except pickle.UnpicklingError as error:
        # The text of torch's error advises to read the file without care: it is not repeated.
        if objects := _objects(path, str(error)):
            raise UnsafePickle(path, objects) from error
        raise ModelError(f"{path}: damaged or not a file of weights") from error
    except UNREADABLE as error:
        reason = f"{type(error).__name__} {error}".strip()
        raise ModelError(f"{path}: damaged or not a file of weights: {reason}") from error


def _objects(path: Path, text: str) -> tuple[str, ...]:
    """Names of the objects that a refused pickle holds; none where it is damaged."""
    import torch

    named = re.findall(r"GLOBAL ([\w.]+)", text)
    if named and zipfile.is_zipfile(path):  # older files name the first one alone
        named += torch.serialization.get_unsafe_globals_in_checkpoint(path)
    return tuple(dict.fromkeys(named))
