"""Import of CompressAI's published checkpoints as model folders.

Every tensor is accounted for: learned ones are taken over under their names of today, derived ones
(tables, constants) are checked where they are constants and left out, any other is an error.
"""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from icmbench.bitstream.tables import gaussian_tables
from icmbench.codecs.zoo.model_folder import (
    CODEC,
    CONTENTS,
    GAUSSIAN,
    LAYOUTS,
    LICENCE,
    PARTS,
    PRIOR,
    TABLES,
    member_folder,
)
from icmbench.codecs.zoo.networks import (
    BETA_LEAST,
    NETWORKS,
    PEDESTAL,
    FactorizedPrior,
    ScaleHyperprior,
    ZooSettings,
)
from icmbench.codecs.zoo.published import NAMES, Training, of_file
from icmbench.core.errors import ConfigError, ModelError
from icmbench.core.files import sha256_file, temporary_beside, write_json
from icmbench.models.card import described
from icmbench.models.checkpoint import read_checkpoint
from icmbench.models.compressai_tensors import BUFFERS, agrees, bottleneck_name, constants
from icmbench.models.entropy_tables import prior_tables, set_quantile_tails
from icmbench.models.headers import read_header
from icmbench.models.layout import CARD
from icmbench.models.published_tensors import refusal, write_tensors
from icmbench.models.tensors import save_arrays, with_weights

PARALLEL: Final = "module."  # before every name where a network was trained on several GPUs
SIZES: Final = ("g_a.0", "g_a.6")  # the first axis of their tensors is N and M
_REPARAM: Final = re.compile(r"g_[as]\.[135]\.(beta|gamma)_reparam\.(pedestal|lower_bound\.bound)")
State = Mapping[str, Tensor]


def import_checkpoint(path: Path, models: Path) -> str:
    """Import a published checkpoint into a folder of models; returns a line about it.

    A training that was imported from the same file before is left as it is.

    Raises ModelError for a file that has no published name, is not the file of that name (its
    sha256), holds more than tensors, or is of another network: all tensors that are unknown,
    missing or wrong are named; for a folder with damaged files, too. Raises ConfigError where
    another file was imported before.
    """
    training, digits = of_file(path.name)
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    sha256 = sha256_file(path)
    if not sha256.startswith(digits):
        raise ModelError(
            f"{path}: its sha256 begins with {sha256[:8]}, its name says {digits}: damaged or not "
            "the published file; fetch it again"
        )
    folder = member_folder(models, training)
    if (folder / CARD).is_file():
        held = _imported_from(folder, training.codec)
        if held != sha256:
            raise ConfigError(f"{folder}: holds another file's weights ({held[:8]}): remove it")
        return f"{folder}: imported before"
    if folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(f"{folder}: neither empty nor an imported training: remove it")
    network = read_network(path, training.codec)
    try:
        _write(folder, training, network, {"source": path.name, "sha256": sha256})
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    count = sum(parameter.numel() for parameter in network.parameters())
    return f"{folder}: complete, {count:,} numbers of {path.name}"


def _imported_from(folder: Path, codec: str) -> str:
    """The sha256 of the file that a folder was imported from.

    Raises ModelError where its files are not those that its card describes.
    """
    try:
        stated = json.loads((folder / CARD).read_bytes())["weights_digest"]
        if LAYOUTS[codec].weights_digest(folder).hex() == stated:
            return str(read_header(folder / f"{CODEC}.safetensors")["provenance"]["sha256"])
        what = f"they are not those of {CARD}"
    except (ModelError, ValueError, KeyError, TypeError) as error:
        what = str(error)
    raise ModelError(f"{folder}: its files are damaged: {what}: remove it and import again")


def read_network(path: Path, codec: str) -> FactorizedPrior:
    """The network of a checkpoint; ModelError naming every tensor that is wrong."""
    state, problems = _renamed(read_checkpoint(path))
    sizes = [_first_axis(state, layer) for layer in SIZES]
    with torch.device("meta"):
        network = NETWORKS[codec](ZooSettings(codec, *sizes))
    expected = network.state_dict()
    for name, tensor in expected.items():
        if name not in state:
            problems[name] = "missing"
        elif state[name].shape != tensor.shape:
            shapes = f"{tuple(state[name].shape)}, expected {tuple(tensor.shape)}"
            problems[name] = f"of the shape {shapes}"
        elif not state[name].is_floating_point() or not torch.isfinite(state[name]).all():
            problems[name] = "holds a value that is no finite number"
    problems |= {name: "unknown" for name in state if name not in expected}
    if problems:
        error = refusal(path, [f"{name}: {text}" for name, text in problems.items()])
        others = [name for name in NAMES if name != codec and _fits(state, name, sizes)]
        hint = f"\n  they are those of {others[0]}" if others else ""
        raise ModelError(f"{error}{hint}") from None
    return with_weights(network, state, path).eval().requires_grad_(False)


def _first_axis(state: State, layer: str) -> int:
    """The number of output channels of a convolution; 1 where nothing says it."""
    found = [state[name] for leaf in ("weight", "bias") if (name := f"{layer}.{leaf}") in state]
    return found[0].shape[0] if found and found[0].ndim else 1


def _renamed(state: State) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The learned tensors by our names, and problems by published name."""
    found: dict[str, Tensor] = {}
    problems: dict[str, str] = {}
    plain = {name.removeprefix(PARALLEL): tensor for name, tensor in state.items()}
    known = constants(plain)
    for name, tensor in plain.items():
        if reparam := _REPARAM.fullmatch(name):
            known[name] = _reparam_constant(*reparam.groups())
        if name in known and not agrees(tensor, known[name]):
            problems[name] = "not the value that the codec computes with"
        if name in BUFFERS or reparam:
            continue
        ours = bottleneck_name(name) or name
        if ours in found:
            problems[name] = f"there twice, as {ours} under an older name, too"
        found[ours] = tensor
    return found, problems


def _reparam_constant(kind: str, constant: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    least = BETA_LEAST if kind == "beta" else 0.0
    return np.array([PEDESTAL if constant == "pedestal" else (least + PEDESTAL) ** 0.5])


def _fits(state: State, codec: str, sizes: list[int]) -> bool:
    """True if the tensors are those of another codec."""
    with torch.device("meta"):
        expected = NETWORKS[codec](ZooSettings(codec, *sizes)).state_dict()
    shapes = {name: tensor.shape for name, tensor in expected.items()}
    return shapes == {name: tensor.shape for name, tensor in state.items()}


def _write(
    folder: Path, training: Training, network: FactorizedPrior, provenance: dict[str, str]
) -> None:
    """Make the folder of a training beside its place and move it there whole."""
    target = folder.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    made = temporary_beside(target)
    layout = LAYOUTS[training.codec]
    try:
        settings = network.settings.values()
        write_tensors(
            made / f"{CODEC}.safetensors",
            network.state_dict(),
            {"network": settings, "provenance": provenance},
        )
        write_zoo_tables(made, network)
        card = {
            "model": training.codec,
            "what": layout.summary,
            "training": {"metric": training.metric, "quality": training.quality},
            "made_by": f"CompressAI: {provenance['source']}, imported",
            "licence": LICENCE,
            "weights_digest": layout.weights_digest(made).hex(),
            "files": described([layout.part_file(made, part) for part in PARTS], CONTENTS),
        }
        write_json(made / CARD, card)
        os.replace(made, target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def write_zoo_tables(folder: Path, network: FactorizedPrior) -> None:
    """Write the integer tables of a network.

    Those of the factorised prior end where the distributions do, whatever tails are stored: the
    stored ones are as exact as the auxiliary loss of the training made them.
    """
    bottleneck = copy.deepcopy(network.entropy_bottleneck)
    set_quantile_tails(bottleneck)
    arrays = prior_tables(bottleneck).to_arrays(PRIOR)
    if isinstance(network, ScaleHyperprior):
        arrays |= gaussian_tables(nearest=True).to_arrays(GAUSSIAN)
    codec = sha256_file(folder / f"{CODEC}.safetensors")
    save_arrays(folder / f"{TABLES}.safetensors", arrays, {CODEC: codec})
