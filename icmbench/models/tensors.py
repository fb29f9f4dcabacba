"""Safetensors files: weights of a network or integer tables, with JSON metadata.

Weights are stored as float16 and read as float32: a trained network must be rounded first
(`rounded`) to compute the same before it is saved and after it is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from icmbench.core.errors import ModelError
from icmbench.core.files import sha256_bytes, write_bytes
from icmbench.models.headers import KEY, own_metadata
from icmbench.models.settings import NetworkSettings

if TYPE_CHECKING:  # torch takes seconds to import; integer tables do not need it
    import torch

# Errors of a network's constructor for wrong settings; which one depends on the setting.
BUILD_ERRORS: Final = (
    ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip

NetworkT = TypeVar("NetworkT", bound="torch.nn.Module")
SettingsT = TypeVar("SettingsT", bound=NetworkSettings)
Arrays = dict[str, NDArray[Any]]


def save_network(
    path: Path, state: Mapping[str, torch.Tensor], metadata: Mapping[str, Any]
) -> None:
    """Write a state dictionary as float16; equal arguments give equal bytes.

    Raises ModelError naming the tensor where a weight is not finite in half precision.
    """
    arrays = {
        name: tensor.detach().cpu().half().contiguous().numpy() for name, tensor in state.items()
    }
    save_arrays(path, arrays, metadata)


def load_network(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """State dictionary (float32) and metadata of a file that `save_network` wrote.

    Raises ModelError as `load_arrays`, and for a tensor of integers.
    """
    import torch

    arrays, metadata = load_arrays(path)
    state = {}
    for name, array in arrays.items():
        if not np.issubdtype(array.dtype, np.floating):
            raise ModelError(f"{path}: tensor {name!r} is {array.dtype}, a weight is float16")
        state[name] = torch.from_numpy(array.astype(np.float32))
    return state, metadata


def load_built(
    path: Path,
    kind: type[SettingsT],
    build: Callable[[SettingsT, int], NetworkT],
    channels: int | None = None,
) -> tuple[NetworkT, SettingsT, dict[str, Any]]:
    """Load a weight file; returns the network, its settings and all metadata of the file.

    The network is in evaluation mode, without gradients.

    Args:
        kind: class of the settings, stored under `network` in the metadata.
        build: makes the network from settings and a seed.
        channels: number of latent channels that the settings' `latent` must equal; None: any.

    Raises ModelError naming `path` and the setting or tensor that is missing, wrong or unknown.
    """
    state, metadata = load_network(path)
    values = metadata.get("network")
    network = make_network(path, state, values, lambda found: build(kind.read(found), 0))
    settings = kind.read(values)
    if channels is not None and (latent := settings.values()["latent"]) != channels:
        raise ModelError(f"{path}: it is of {latent} channels, the latent has {channels}")
    return network.eval().requires_grad_(False), settings, metadata


def make_network(
    path: Path, state: Mapping[str, torch.Tensor], settings: Any, build: Callable[[Any], NetworkT]
) -> NetworkT:
    """Build a network from settings and load its weights.

    Damaged settings must not allocate memory without bound. Therefore no number in them may exceed
    both the largest side of a tensor and the number of tensors, and the network is built on the
    meta device.

    Args:
        path: the weight file, for error messages.
        state: tensors of the file by name.
        settings: sizes of the network, from the file's metadata.
        build: makes the network from the settings; it is called on the meta device first.

    Raises ModelError naming `path` and the setting or the first tensor that is wrong.
    """
    import torch

    check_numbers(path, settings, state)
    try:
        with torch.device("meta"):
            network = build(settings)
    except ModelError as error:
        raise ModelError(f"{path}: metadata {error}") from None
    except BUILD_ERRORS as error:
        raise ModelError(f"{path}: its metadata describe no network: {error!r}") from error
    network = with_weights(network, state, path)
    if any(buffer.is_meta for buffer in network.buffers()):
        # Files do not hold them all: the positions of a text encoder are counted when it is built.
        network = build(settings)
        network.load_state_dict(dict(state))
    return network


def check_numbers(path: Path, settings: Any, state: Mapping[str, torch.Tensor]) -> None:
    """Raise ModelError naming a whole number in settings that no tensor can be the reason for."""
    largest = max([len(state), *(side for tensor in state.values() for side in tensor.shape)])
    for name, number in _numbers("network", settings):
        if isinstance(number, int) and not 0 <= number <= largest:
            raise ModelError(f"{path}: metadata {name} is {number}, no tensor is of that size")


def with_weights(
    network: NetworkT, state: Mapping[str, torch.Tensor], path: Path | str
) -> NetworkT:
    """Load copies of weights into a network that was built on the meta device.

    Initial values are never drawn: for a published network that would take longer than reading its
    file.

    Raises ModelError naming `path`, the source of the weights, and the first wrong tensor.
    """
    expected = network.state_dict()
    compare_tensors(expected, state, path)
    copies = {name: state[name].to(tensor.dtype, copy=True) for name, tensor in expected.items()}
    network.load_state_dict(copies, assign=True)
    return network


def _numbers(name: str, value: Any) -> Iterator[tuple[str, int | float]]:
    """The numbers in nested settings, with their key paths."""
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(f"{name}.{key}", inner)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _numbers(f"{name}.{index}", inner)


def fill_network(
    network: torch.nn.Module, state: Mapping[str, torch.Tensor], path: Path | str
) -> None:
    """Load weights into a network strictly: names and shapes of all tensors must agree.

    Raises ModelError naming `path`, the source of the weights, and the first wrong tensor.
    """
    compare_tensors(network.state_dict(), state, path)
    network.load_state_dict(dict(state))


def compare_tensors(
    expected: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor], path: Path | str
) -> None:
    """Raise ModelError naming `path` and the first tensor that is missing, unknown or misshaped."""
    for name, tensor in expected.items():
        if name not in state:
            raise ModelError(f"{path}: tensor {name!r} is missing")
        if state[name].shape != tensor.shape:
            shapes = f"{tuple(state[name].shape)}, expected {tuple(tensor.shape)}"
            raise ModelError(f"{path}: tensor {name!r} has the shape {shapes}")
    for name in sorted(state):
        if name not in expected:
            raise ModelError(f"{path}: tensor {name!r} is not one of the network's")


def rounded(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Round a state dictionary to float16 values in float32, as it is read from a file."""
    return {name: tensor.detach().half().float() for name, tensor in state.items()}


def state_digest(state: Mapping[str, torch.Tensor] | None) -> str:
    """Digest of the weights that a training starts from; "" for a training from scratch."""
    if state is None:
        return ""
    parts = [
        f"{name} {sha256_bytes(state[name].cpu().numpy().tobytes())}" for name in sorted(state)
    ]
    return sha256_bytes("\n".join(parts).encode())


def save_arrays(
    path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]
) -> None:
    """Write arrays and metadata atomically; ModelError for an array that is not finite."""
    for name, array in arrays.items():
        _check_finite(path, name, array)
    text = json.dumps(metadata, sort_keys=True, allow_nan=False)
    ordered = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    write_bytes(path, save(ordered, {KEY: text}))


def load_arrays(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """Arrays and metadata of a file that `save_arrays` wrote.

    Raises ModelError where the file is missing, truncated or in another format, has no metadata of
    icmbench, or holds a number type that numpy lacks or a value that is not finite.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except (SafetensorError, OSError, TypeError) as error:  # TypeError: numpy has no bfloat16
        raise ModelError(f"{path}: damaged or not a safetensors file: {error}") from error
    for name, array in arrays.items():
        _check_finite(path, name, array)
    return arrays, own_metadata(path, header)


def read_metadata(path: Path) -> dict[str, Any]:
    """Metadata of a file, after the checks of `load_arrays` on its tensors."""
    return load_arrays(path)[1]


def _check_finite(path: Path, name: str, array: NDArray[Any]) -> None:
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise ModelError(f"{path}: tensor {name!r} holds a value that is not finite")
