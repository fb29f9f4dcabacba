"""Import of a published prior: autoencoder, denoising network and text encoder of a model folder.

<folder>/{autoencoder,prior,text}.safetensors   in the published number types
<folder>/tokenizer/, <folder>/tags.txt          copies of the files given
<folder>/tagger.safetensors                     where RAM++ is given

The codec and the control network are trained on it (`training.stage`).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from icmbench.codecs.diff_icmh.importing.convert import BASED, Conversion, Part, convert
from icmbench.codecs.diff_icmh.importing.importer import (
    check_words,
    write_parts,
)
from icmbench.codecs.diff_icmh.importing.prior_files import SCHEDULER, PriorFiles, read_config
from icmbench.codecs.diff_icmh.importing.ram_plus import read_ram_plus
from icmbench.codecs.diff_icmh.importing.sizes import LATENT_SCALE
from icmbench.codecs.diff_icmh.importing.verify import check_values
from icmbench.codecs.diff_icmh.networks.unet import NORM_GROUPS, UnetSettings, build_unet
from icmbench.codecs.diff_icmh.sampling import PREDICTIONS, STEPS
from icmbench.core.errors import ModelError
from icmbench.core.files import sha256_file, write_bytes
from icmbench.models.checkpoint import read_checkpoint
from icmbench.models.foreign import read_foreign
from icmbench.models.latent_autoencoder import KL
from icmbench.models.ldm import storable
from icmbench.models.published_tensors import refusal
from icmbench.models.tensors import BUILD_ERRORS, compare_tensors

# Arguments of diffusers' UNet2DConditionModel that change nothing that it computes in float32.
WITHOUT_EFFECT: Final = (
    "sample_size", "upcast_attention", "attention_head_dim", "num_attention_heads",
)  # fmt: skip
SCHEDULE: Final = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": STEPS,
}
TEXT_KEYS: Final = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "max_position_embeddings", "hidden_act", "layer_norm_eps",
)  # fmt: skip


def import_prior(folder: Path, files: PriorFiles, prediction: str = PREDICTIONS[0]) -> None:
    """Write the parts of a published prior into a model folder, every tensor accounted for.

    Args:
        prediction: output of the network of a checkpoint; a folder of diffusers says so itself.

    Raises ModelError for a file that cannot be read, naming tensors and settings that are unknown,
    missing or wrong.
    """
    if files.format == "ldm":
        state = read_checkpoint(files.path)
        conversion = convert(state, parts=BASED)
        check_values(state, conversion)
        scale = LATENT_SCALE
    else:
        conversion, prediction, scale = _read_diffusers(files)
        check_values({}, conversion)
    if conversion.problems:
        raise refusal(files.path, [f"{n}: {text}" for n, text in conversion.problems.items()])
    words = check_words(conversion, files.tokenizer, files.tags)
    if files.tagging:
        path, thresholds = files.tagging
        read_ram_plus(path, files.tags, thresholds).write(folder)
    sources = {file.name: sha256_file(file) for file in files.files}
    if files.format == "diffusers":  # two of them have one name
        home = files.path
        sources = {str(file.relative_to(home)): sha256_file(file) for file in files.files}
    more = {"prior": {"prediction": prediction}}
    write_parts(folder, conversion, BASED, {"from": sources}, scale=scale, more=more)
    for name, source in words.items():
        write_bytes(folder / name, source.read_bytes())


def _read_diffusers(files: PriorFiles) -> tuple[Conversion, str, float]:
    """The three networks of a folder of diffusers, its prediction, and the latent's factor."""
    path = files.path
    vae = read_foreign(path / "vae")
    if vae.layout != KL:
        raise ModelError(f"{path / 'vae'}: it is a {vae.layout}, expected {KL}")
    factor = read_config(path / "vae" / "config.json").get("scaling_factor", LATENT_SCALE)
    if not (isinstance(factor, float) and factor > 0):
        raise ModelError(f"{path / 'vae'}: scaling_factor is {factor!r}, not a positive number")
    found = {
        "autoencoder": Part(vae.tensors, vae.settings),
        "prior": _unet(path / "unet", files.files[1]),
        "text": _text(path / "text_encoder", files.files[5]),
    }
    return Conversion(found), _prediction(path / SCHEDULER), factor


def _prediction(path: Path) -> str:
    """The output of the network; ModelError where its schedule is not that of our samplers."""
    values = read_config(path)
    for key, wanted in SCHEDULE.items():
        if (found := values.get(key)) != wanted:
            raise ModelError(f"{path}: {key} is {found!r}, expected {wanted!r}")
    found = values.get("prediction_type", PREDICTIONS[0])
    if found not in PREDICTIONS:
        raise ModelError(f"{path}: prediction_type is {found!r}, not {' or '.join(PREDICTIONS)}")
    return str(found)


def _unet(folder: Path, weights: Path) -> Part:
    """The denoising network; ModelError where diffusers' arguments are not those of ours."""
    path = folder / "config.json"
    values = read_config(path)
    try:
        settings = _unet_settings(values)
        with torch.device("meta"):
            network = build_unet(settings, seed=0)
    except BUILD_ERRORS as error:
        raise ModelError(f"{path}: no network is of these sizes: {error!r}") from error
    ours = {**network.config, "norm_num_groups": NORM_GROUPS}
    defaults = inspect.signature(UNet2DConditionModel.__init__).parameters
    for key, wanted in ours.items():
        if key in WITHOUT_EFFECT or key.startswith("_") or key not in defaults:
            continue
        found = values.get(key, defaults[key].default)
        if _plain(found) != _plain(wanted):
            raise ModelError(f"{path}: {key} is {found!r}, expected {wanted!r}")
    state = _read(weights)
    compare_tensors(network.state_dict(), state, weights)
    tensors = {f"unet.{name}": tensor for name, tensor in state.items()}
    return Part(tensors, {"kind": "clip", "unet": settings.values()})


def _unet_settings(values: Mapping[str, Any]) -> UnetSettings:
    channels = tuple(values["block_out_channels"])
    # diffusers calls the number of heads `attention_head_dim`; one number stands for all.
    heads = values.get("num_attention_heads") or values["attention_head_dim"]
    heads = [heads] * len(channels) if isinstance(heads, int) else heads
    widths = {count // number for count, number in zip(channels, heads, strict=True)}
    if len(widths) != 1:
        raise ValueError(f"{heads} heads for {channels} channels: of different widths")
    return UnetSettings(
        latent=values["in_channels"],
        channels=channels,
        layers=values["layers_per_block"],
        attention=tuple(name.startswith("CrossAttn") for name in values["down_block_types"]),
        head_width=widths.pop(),
        context=values["cross_attention_dim"],
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _text(folder: Path, weights: Path) -> Part:
    """The text encoder, transformers' `CLIPTextModel`."""
    from transformers import CLIPTextConfig, CLIPTextModel

    path = folder / "config.json"
    values = read_config(path)
    if missing := [key for key in TEXT_KEYS if key not in values]:
        raise ModelError(f"{path}: {missing[0]} is missing")
    settings = {key: values[key] for key in TEXT_KEYS}
    try:
        with torch.device("meta"):
            wanted = CLIPTextModel(CLIPTextConfig(**settings)).state_dict()
    except BUILD_ERRORS as error:
        raise ModelError(f"{path}: no text encoder is of these sizes: {error!r}") from error
    state = {name.removeprefix("text_model."): tensor for name, tensor in _read(weights).items()}
    compare_tensors(wanted, state, weights)
    return Part(state, settings)


def _read(path: Path) -> dict[str, Tensor]:
    """The weights of a file; positions that transformers once stored are left out."""
    tensors = {}
    for name, tensor in read_checkpoint(path).items():
        if name.endswith("embeddings.position_ids"):
            continue
        stored = storable(tensor)
        if isinstance(stored, str):
            raise ModelError(f"{path}: tensor {name!r} {stored}")
        tensors[name] = stored
    return dict(sorted(tensors.items()))
