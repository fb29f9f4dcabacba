"""Weights of detectors and segmenters: the bundled files, and checkpoints of mmengine.

A checkpoint of mmengine is a pickle, and reading one with more than tensors in it runs what it
says. That is done for a file alone whose sha256 the configuration gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from icmbench.core.errors import ModelError
from icmbench.core.files import check_weight_file, sha256_file
from icmbench.core.pickles import Placeholder, UnsafePickle, load_pickle

if TYPE_CHECKING:
    import torch

LISTED: Final = 5  # tensors that a message names
COUNTER: Final = ".num_batches_tracked"  # of the norms: nothing reads it when a network is used


@dataclass(frozen=True)
class Weights:
    """Contents of a weight file.

    Attributes:
        state: tensors by name.
        classes: names of the classes that the network knows; (): the file does not say.
        metadata: of a file of ours; {} of others.
    """

    state: Mapping[str, torch.Tensor]
    classes: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


def read_weights(path: Path, sha256: str | None) -> Weights:
    """The weights in a `*.safetensors` of ours or a checkpoint `*.pth`.

    Args:
        sha256: of the file; another one is refused. Without it a checkpoint may hold tensors and
            plain values alone.

    Raises ModelError where the file is missing, damaged or not allowed.
    """
    check_weight_file(path, sha256)
    if path.suffix == ".safetensors":
        from icmbench.models.tensors import load_network

        state, metadata = load_network(path)
        return Weights(state, tuple(metadata.get("classes", ())), metadata)
    content = _unpickle(path, trusted=sha256 is not None)
    state = content.get("state_dict", content)
    return Weights(_tensors(path, state), _classes(path, content.get("meta")))


def _unpickle(path: Path, *, trusted: bool) -> Mapping[str, Any]:
    import torch

    try:
        content = load_pickle(path, strict=trusted)
    except UnsafePickle as error:
        if not trusted:
            names = ", ".join(error.objects[:LISTED])
            raise ModelError(
                f"{path}: holds Python objects beside tensors ({names}); reading those runs "
                f"code. If you trust the file, give its sha256: {sha256_file(path)}"
            ) from error
        try:
            content = torch.load(path, map_location="cpu", weights_only=False)
        # What a pickle raises is the pickle's own.
        except Exception as inner:
            raise ModelError(f"{path}: not a checkpoint: {inner}") from inner
    if not isinstance(content, Mapping):
        raise ModelError(f"{path}: holds {type(content).__name__}, not a state dictionary")
    return content


def _tensors(path: Path, state: Any) -> dict[str, torch.Tensor]:
    import torch

    if not isinstance(state, Mapping) or not state:
        raise ModelError(f"{path}: holds no state dictionary")
    for name, tensor in state.items():
        if not torch.is_tensor(tensor):
            raise ModelError(f"{path}: {name!r} is {type(tensor).__name__}, not a tensor")
    return dict(state)


def _classes(path: Path, meta: Any) -> tuple[str, ...]:
    """Class names in the `meta` of a checkpoint: of mmdet 3 and mmseg 1, or of those before.

    Raises ModelError where they lie in an object that was not read.
    """
    _check_read(path, "meta", meta)
    if not isinstance(meta, Mapping):
        return ()
    known = meta.get("dataset_meta")
    _check_read(path, "dataset_meta", known)
    known = known if isinstance(known, Mapping) else {}
    lower = {str(key).lower(): value for key, value in {**meta, **known}.items()}
    classes = lower.get("classes")
    _check_read(path, "classes", classes)
    return tuple(map(str, classes)) if isinstance(classes, list | tuple) else ()


def _check_read(path: Path, name: str, value: Any) -> None:
    if isinstance(value, Placeholder):
        raise ModelError(
            f"{path}: {name} holds a Python object, which is not read without trust, and with it "
            f"the names of the classes: if you trust the file, give its sha256: {sha256_file(path)}"
        )


def fill(network: Any, state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Put weights into a network: every tensor of it, no other, all of the right shape.

    Raises ModelError naming the file and the tensors that are wrong. The norms' counters alone may
    be missing.
    """
    import torch

    expected = network.state_dict()
    missing = [name for name in expected if name not in state and not name.endswith(COUNTER)]
    unexpected = [name for name in state if name not in expected]
    shapes = [
        f"{name} {tuple(state[name].shape)} for {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    wrong = [
        f"{len(names)} {what} ({', '.join(names[:LISTED])}{', ...' if len(names) > LISTED else ''})"
        for what, names in (
            ("missing", missing),
            ("not the network's", unexpected),
            ("of another shape", shapes),
        )
        if names
    ]
    if wrong:
        raise ModelError(f"{path}: its tensors are not those of the network: {'; '.join(wrong)}")
    counters = {k: torch.zeros_like(v) for k, v in expected.items() if k.endswith(COUNTER)}
    network.load_state_dict(counters | dict(state))
