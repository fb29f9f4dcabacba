"""Published autoencoders: read strictly from their own files.

    a folder of diffusers     AutoencoderKL or AutoencoderTiny: config.json and weights
    a folder of TAESD's form  <name>_encoder.pth and <name>_decoder.pth
    a checkpoint              of latent diffusion (Stable Diffusion): its first stage, or that alone

Every tensor of the network must be there, in its shape, and no other one beside it (in a
checkpoint: no other one of the first stage). The sizes are those of the configuration or of the
tensors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from icmbench.core.errors import ModelError
from icmbench.core.files import sha256_file
from icmbench.models.checkpoint import read_checkpoint
from icmbench.models.foreign_files import foreign_files
from icmbench.models.latent_autoencoder import KL, TAESD, TINY, build_layout
from icmbench.models.ldm import (
    LEVELS,
    PREFIX,
    Transform,
    diffusers_name,
    kl_settings,
    ldm_name,
    storable,
)
from icmbench.models.published_tensors import refusal
from icmbench.models.taesd import taesd_settings
from icmbench.models.tensors import BUILD_ERRORS, check_numbers

# Arguments of diffusers' networks: those that decide the network, and those that do not. The latent
# is standardised by its own statistics, so that factors and shifts have no effect.
ARGUMENTS: Final = {
    KL: (
        "in_channels", "out_channels", "down_block_types", "up_block_types", "block_out_channels",
        "layers_per_block", "act_fn", "latent_channels", "norm_num_groups",
        "mid_block_add_attention", "use_quant_conv", "use_post_quant_conv",
    ),
    TINY: (
        "in_channels", "out_channels", "encoder_block_out_channels", "decoder_block_out_channels",
        "act_fn", "upsample_fn", "latent_channels", "upsampling_scaling_factor",
        "num_encoder_blocks", "num_decoder_blocks",
    ),
}  # fmt: skip
WITHOUT_EFFECT: Final = (
    "sample_size", "scaling_factor", "shift_factor", "latents_mean", "latents_std",
    "force_upcast", "latent_magnitude", "latent_shift", "block_out_channels",
)  # fmt: skip
CLASSES: Final = {"AutoencoderKL": KL, "AutoencoderTiny": TINY}
# Names of the attention's matrices in weights that older versions of diffusers wrote.
FORMER: Final = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


@dataclass(frozen=True)
class Foreign:
    """A published autoencoder.

    Attributes:
        layout: of the weight file's metadata.
        settings: arguments of the network.
        tensors: by name, as a weight file holds them.
        sources: name and sha256 of the files.
    """

    layout: str
    settings: dict[str, Any]
    tensors: dict[str, Tensor]
    sources: dict[str, str]


def read_foreign(path: Path) -> Foreign:
    """Read a published autoencoder.

    Raises ModelError naming the file and the tensors or keys that are missing, unknown or wrong.
    """
    found = foreign_files(path)
    readers: dict[str, Callable[[Sequence[Path]], tuple[str, dict[str, Any], dict[str, Tensor]]]]
    readers = {"diffusers": _diffusers, "taesd": _taesd, "ldm": _ldm}
    layout, settings, tensors = readers[found.format](found.files)
    _compare(path, layout, settings, tensors, ldm_name if found.format == "ldm" else str)
    sources = {file.name: sha256_file(file) for file in found.files}
    return Foreign(layout, settings, dict(sorted(tensors.items())), sources)


def _diffusers(files: Sequence[Path]) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    config, weights = files
    try:
        values = json.loads(config.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{config}: damaged or not JSON: {error}") from error
    name = values.get("_class_name") if isinstance(values, dict) else None
    if name not in CLASSES:
        raise ModelError(f"{config}: _class_name is {name!r}, expected {' or '.join(CLASSES)}")
    layout = CLASSES[name]
    known = ARGUMENTS[layout]
    settings = {key: value for key, value in values.items() if key in known}
    unknown = [
        key
        for key in values
        if key not in known and key not in WITHOUT_EFFECT and not key.startswith("_")
    ]
    if unknown:
        raise ModelError(f"{config}: key {unknown[0]!r} is not known for {name}")
    tensors: dict[str, Tensor] = {}
    for key, tensor in read_checkpoint(weights).items():
        module, _, leaf = key.rpartition(".")
        stem, _, last = module.rpartition(".")
        ours = key
        if ".attentions." in module and last in FORMER:
            ours = f"{stem}.{FORMER[last]}.{leaf}"
        _place(tensors, weights, key, ours, tensor)
    return layout, settings, tensors


def _taesd(files: Sequence[Path]) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    tensors: dict[str, Tensor] = {}
    for side, file in zip(("encoder", "decoder"), files, strict=True):
        for key, tensor in read_checkpoint(file).items():
            _place(tensors, file, key, f"{side}.{key}", tensor)
    try:
        settings = taesd_settings({name: tuple(found.shape) for name, found in tensors.items()})
    except ModelError as error:
        raise ModelError(f"{files[0]}, {files[1].name}: {error}") from None
    return TAESD, settings.values(), tensors


def _ldm(files: Sequence[Path]) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    path = files[0]
    state = read_checkpoint(path)
    prefix = PREFIX if any(name.startswith(PREFIX) for name in state) else ""
    tensors: dict[str, Tensor] = {}
    problems = []
    for key, tensor in state.items():
        # The other networks of a checkpoint; the losses of the autoencoder's own training.
        if not key.startswith(prefix) or key.startswith(f"{prefix}loss."):
            continue
        name = diffusers_name(key.removeprefix(prefix))
        if name is None:
            problems.append(f"{key}: not one of a first stage of {LEVELS} resolutions")
        else:
            _place(tensors, path, key, name[0], tensor, name[1])
    _refuse(path, problems)

    def side(name: str, axis: int) -> int:
        if name not in tensors or tensors[name].ndim <= axis:
            published = f"{prefix}{ldm_name(name)}"
            text = f"{published} is missing or no convolution; expected {PREFIX}* of a latent"
            raise ModelError(f"{path}: {text} at 1/8")
        return tensors[name].shape[axis]

    return KL, kl_settings(side, quantised="quant_conv.weight" in tensors), tensors


def _place(
    tensors: dict[str, Tensor],
    path: Path,
    key: str,
    name: str,
    tensor: Tensor,
    transform: Transform = "same",
) -> None:
    """Keep a tensor under our name; ModelError where it is of another kind, or there already."""
    stored = storable(tensor, transform)
    if isinstance(stored, str):
        raise ModelError(f"{path}: tensor {key!r} {stored}")
    if name in tensors:
        raise ModelError(f"{path}: tensor {key!r} is there twice, under an older name, too")
    if not torch.isfinite(stored).all():
        raise ModelError(f"{path}: tensor {key!r} holds a value that is not finite")
    tensors[name] = stored


def _compare(
    path: Path,
    layout: str,
    settings: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    published: Callable[[str], str],
) -> None:
    """ModelError that names the tensors that are missing, unknown or of another shape."""
    check_numbers(path, settings, tensors)
    try:
        with torch.device("meta"):
            wanted = build_layout(layout, settings).state_dict()
    except BUILD_ERRORS as error:
        raise ModelError(f"{path}: no {layout} network is of these sizes: {error!r}") from error
    problems = [f"{published(name)}: missing" for name in wanted if name not in tensors]
    for name, tensor in tensors.items():
        shape = tuple(tensor.shape)
        if name not in wanted:
            problems.append(f"{published(name)}: of the shape {shape}, not one of the network's")
        elif (expected := tuple(wanted[name].shape)) != shape:
            problems.append(f"{published(name)}: of the shape {shape}, expected {expected}")
    _refuse(path, problems)


def _refuse(path: Path, problems: Sequence[str]) -> None:
    if problems:
        raise refusal(path, problems)
