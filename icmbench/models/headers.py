"""Headers of weight files (safetensors): shapes of the tensors and metadata, no tensor is read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from icmbench.core.errors import ModelError

KEY: Final = "icmbench"  # of our metadata in the header, as JSON
FILE_METADATA: Final = "__metadata__"  # the key of all metadata
_LIMIT: Final = 100_000_000  # bytes, as safetensors itself has it


def file_header(path: Path) -> dict[str, Any]:
    """Read the header of a file: `dtype` and `shape` by name of a tensor, and all metadata.

    Raises ModelError where the file is missing or has no such header.
    """
    try:
        with open(path, "rb") as handle:
            size = int.from_bytes(handle.read(8), "little")
            header = json.loads(handle.read(size) if size <= _LIMIT else b"")
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: damaged or not a safetensors file: {error}") from error
    if not isinstance(header, dict):
        raise ModelError(f"{path}: damaged or not a safetensors file: its header is no object")
    return header


def read_header(path: Path) -> dict[str, Any]:
    """Read our metadata of a file; ModelError where it has none."""
    metadata = file_header(path).get(FILE_METADATA)
    return own_metadata(path, metadata if isinstance(metadata, dict) else {})


def own_metadata(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Take ours from the metadata of a file; ModelError where there are none."""
    try:
        found = json.loads(metadata[KEY], parse_float=_finite, parse_constant=_refuse)
    except _NotFinite as error:
        raise ModelError(f"{path}: its metadata hold {error}, which is no finite number") from None
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: its header has no metadata of icmbench") from error
    if not isinstance(found, dict):
        kind = type(found).__name__
        raise ModelError(f"{path}: its metadata are a {kind}, not names with values")
    return found


class _NotFinite(Exception):
    """A number of JSON that is none: its text."""


def _refuse(text: str) -> NoReturn:
    raise _NotFinite(text)


def _finite(text: str) -> float:
    return value if math.isfinite(value := float(text)) else _refuse(text)
