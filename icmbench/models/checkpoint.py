"""Reading of checkpoint files: pickles of tensors alone, and safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from icmbench.core.errors import ModelError
from icmbench.core.pickles import UNREADABLE, load_pickle

# Keys of the tensors where a file holds more: of Lightning and mmengine, of BLIP and RAM++.
HOLDERS: Final = ("state_dict", "model")


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, on the CPU; mapped into memory where the format allows."""
    if path.suffix == ".safetensors":
        found: Any = _read_safetensors(path)
    elif path.name.endswith((".ckpt", ".pt", ".pth", ".pth.tar", ".bin")):
        found = load_pickle(path, mapped=True)
    else:
        known = ".ckpt, .pt, .pth, .pth.tar, .bin nor .safetensors"
        raise ModelError(f"{path}: neither {known}: of which format?")
    if isinstance(found, Mapping):
        found = next((found[key] for key in HOLDERS if isinstance(found.get(key), Mapping)), found)
    if not isinstance(found, Mapping):
        raise ModelError(f"{path}: it holds a {type(found).__name__}, not named tensors")
    for name, tensor in found.items():
        if not (isinstance(name, str) and isinstance(tensor, Tensor) and _plain(tensor)):
            raise ModelError(f"{path}: {name!r} is not a plain tensor")
    return {name: tensor.detach() for name, tensor in found.items()}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except (SafetensorError, *UNREADABLE) as error:
        raise ModelError(f"{path}: damaged or not a file of weights: {error}") from error


def _plain(tensor: Tensor) -> bool:
    stored = tensor.layout is torch.strided and tensor.device.type == "cpu"
    return stored and not tensor.is_quantized
