"""Tensors of published files: an error that names the wrong ones, and our files of the others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from safetensors.torch import save_file
from torch import Tensor

from icmbench.core.errors import ModelError
from icmbench.core.files import atomic_path
from icmbench.models.headers import KEY

SHOWN: Final = 20  # tensors that an error names


def refusal(path: Path, problems: Sequence[str]) -> ModelError:
    """The error about a file's tensors; `problems` has a text for each, its name first."""
    lines = sorted(problems)
    if len(lines) > SHOWN:
        lines[SHOWN:] = [f"and {len(lines) - SHOWN} more"]
    number = f"{len(problems)} tensors are" if len(problems) > 1 else "1 tensor is"
    text = f"{path}: {number} unknown, missing or wrong:"
    return ModelError("\n  ".join([text, *lines]))


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write a weight file whose tensors keep their number types; equal ones give equal bytes."""
    text = json.dumps(metadata, sort_keys=True, allow_nan=False)
    with atomic_path(path) as temporary:
        save_file(_separate(tensors), temporary, {KEY: text})
        temporary.chmod(path.parent.stat().st_mode & 0o666)  # it is written for its owner alone


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors without common memory, which a file of ours does not express."""
    seen: set[int] = set()
    separate = {}
    for name, tensor in sorted(tensors.items()):
        memory = tensor.untyped_storage().data_ptr()
        separate[name] = tensor.clone() if memory in seen else tensor
        seen.add(memory)
    return separate
